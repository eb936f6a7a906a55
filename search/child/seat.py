"""A training process's place on this machine: its devices, and the child that is warm in it."""

from __future__ import annotations

from search.child.process import Child, Launch
from search.child.protocol import Load
from search.contract import Devices
from search.settings import DEFAULTS


class Seat:
    """At most one child at a time, which has loaded one objective and stays for several trials."""

    def __init__(self, devices: Devices, launch: Launch, trials_per_child: int = DEFAULTS.trials_per_child) -> None:
        self.devices = devices
        self.child: Child | None = None
        self._launch, self._trials_per_child = launch, trials_per_child
        self._reference, self._has = "", devices
        self._trials = 0

    def child_for(self, reference: str) -> Child:
        """The warm one if it has this objective, else a new one."""
        warm = self.child is not None and self._reference == reference
        return self._child(reference, self._has if warm else self.devices)

    def child_for_trial(self, reference: str, devices: Devices) -> Child:
        """The same with these devices; one that has others, or is worn out, makes way."""
        if self._trials >= self._trials_per_child:
            self.dismiss()
        child = self._child(reference, devices)
        self._trials += 1
        return child

    def warm(self, reference: str) -> None:
        """A child begins to load this objective, so that its first trial need not wait for that."""
        if self.child is None or self._reference != reference:
            self.child_for(reference).send(Load())

    def _child(self, reference: str, devices: Devices) -> Child:
        if (self._reference, self._has) != (reference, devices) or (self.child is not None and self.child.gone()):
            self.dismiss()
        if self.child is None:
            self.child, self._trials = self._launch(reference, devices), 0
            self._reference, self._has = reference, devices
        return self.child

    def give_up(self) -> Child | None:
        """The child, which is gone or must go; the seat is empty."""
        child, self.child = self.child, None
        return child

    def dismiss(self) -> None:
        """Ends the child."""
        if (child := self.give_up()) is not None:
            child.kill()
