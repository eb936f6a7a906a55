"""A training process's place on this machine: its devices, and the child that is warm in it."""

from __future__ import annotations

from search.child.process import Child, Launch
from search.contract import Devices
from search.settings import DEFAULTS


class Seat:
    """At most one child at a time, which has loaded one objective and stays for several trials."""

    def __init__(self, devices: Devices, launch: Launch, trials_per_child: int = DEFAULTS.trials_per_child) -> None:
        self.devices = devices
        self.child: Child | None = None
        self._launch, self._trials_per_child = launch, trials_per_child
        self._reference = ""
        self._trials = 0

    def child_for(self, reference: str) -> Child:
        """The warm one if it has this objective, else a new one."""
        if self.child is not None and self._reference != reference:
            self.dismiss()
        if self.child is None:
            self.child, self._reference, self._trials = self._launch(reference, self.devices), reference, 0
        return self.child

    def child_for_trial(self, reference: str) -> Child:
        """The same, and one that is worn out makes way."""
        if self._trials >= self._trials_per_child:
            self.dismiss()
        child = self.child_for(reference)
        self._trials += 1
        return child

    def give_up(self) -> Child | None:
        """The child, which is gone or must go; the seat is empty."""
        child, self.child = self.child, None
        return child

    def dismiss(self) -> None:
        """Ends the child."""
        if (child := self.give_up()) is not None:
            child.kill()
