"""Part of ``check``: a trial is killed with SIGKILL and goes on, beside two that nobody disturbs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.commands.machine import Machine
from search.errors import SearchError
from search.rules.readable import Foreign, readable
from search.rules.same_curve import Curve, differences, is_within, length, spread_of, worst_beyond_chance
from search.settings import CHECK_EPOCHS
from search.show.trial_log import log_end
from search.studies.attributes import named
from search.studies.create import create
from search.studies.study import Study
from search.studies.trials import TrialRow, all_trials, attributes, history, parameters
from search.worker.joined_study import JoinedStudy
from search.worker.loop import Screen, Worker


@dataclass(frozen=True)
class _Trained:
    """What became of one trial."""

    study: Study
    curve: Curve
    value: float | None
    repeated: int
    resumed_from: list[int]
    why_ended: str
    """Where it neither came to its end nor was stopped because that is enough."""


def check_resume(machine: Machine, whole: Study) -> None:
    """SearchError where the trial of ``whole``, killed with its first checkpoint or its last, is not what it was."""
    (trial,) = all_trials(machine.storage.engine, whole)
    undisturbed = history(machine.storage.engine, whole, trial)
    steps = length(undisturbed)
    if steps < 2:
        machine.screen.say("it has one step only, so that there is nothing to go on with after a kill")
        return
    params = parameters(machine.storage.engine, trial)
    killed = _train(machine, whole, params, "check-killed", kill_at=1)
    begun = _went_on(machine, killed)
    again = _train(machine, whole, params, "check-again", until=begun + CHECK_EPOCHS)
    until = min(steps, begun + CHECK_EPOCHS)
    if until > begun:
        _compare(machine, killed, undisturbed, again, begun, until)
    last = _train(machine, whole, params, "check-last", kill_at=steps)
    if last.resumed_from:  # else it gives no checkpoint with its last step
        _went_on(machine, last)
        spread = spread_of(whole.definition["metric"], undisturbed, again.curve)
        if trial.value is not None and not is_within(last.value, trial.value, spread):
            now = "nothing" if last.value is None else readable(last.value)
            raise SearchError(
                f"killed with SIGKILL behind its last epoch, {steps}, and gone on, the trial returned {now}, and "
                f"undisturbed {readable(trial.value)}: where no epoch is left it is to return what it had come to, "
                "which the checkpoint may hold, and which run.value is."
            )


def _went_on(machine: Machine, killed: _Trained) -> int:
    """The epoch that it began behind. SearchError where it did not."""
    if not killed.resumed_from:
        raise SearchError("the trial that was to be killed was not: its process had ended by then. Type it again.")
    begun = killed.resumed_from[0]
    if killed.why_ended:
        raise with_log(
            machine, killed.study, f"killed with SIGKILL behind epoch {begun}, the trial ended as {killed.why_ended}"
        )
    if killed.repeated or not begun:
        raise SearchError(
            f"killed with SIGKILL behind epoch {max(1, begun)}, the trial trained epochs again that its checkpoint was "
            f"of ({max(1, killed.repeated)}): it does not begin at its checkpoint. Load it, and go on behind its epoch."
        )
    return begun


def _compare(  # noqa: PLR0917 - the three curves, and between which epochs
    machine: Machine, killed: _Trained, undisturbed: Curve, again: _Trained, begun: int, until: int
) -> None:
    found = differences(killed.curve, undisturbed, again.curve, behind=begun, until=until)
    what = f"killed with SIGKILL behind epoch {begun} and gone on, the trial is"
    if not found:
        machine.screen.say(f"{what} bit for bit what it is undisturbed")
    elif (worst := worst_beyond_chance(found)) is None:
        machine.screen.say(f"{what} what it is undisturbed, within what two undisturbed trainings differ by themselves")
    elif worst.resumed is None:
        raise SearchError(
            f"{what} another: it reported no {worst.name} of epoch {worst.epoch}, which it does undisturbed."
        )
    else:
        raise SearchError(
            f"{what} another: {worst.name} of epoch {worst.epoch} is {worst.resumed:.6g}, undisturbed "
            f"{worst.undisturbed:.6g}, and two undisturbed trainings differ by {worst.spread:.2g} at most. Something "
            "is not in the checkpoint, such as the optimizer's variables, a random state, or the order of the data."
        )


def _train(
    machine: Machine,
    whole: Study,
    params: Mapping[str, Any],
    name: str,
    *,
    kill_at: int | None = None,
    until: int | None = None,
) -> _Trained:
    """The same trial, seed and parameters, in a study of its own.

    ``kill_at``: its process is killed once, with the first checkpoint of this epoch or a later one. It is stopped at
    epoch ``until``, or where it was killed some epochs behind that, as a plain function may take many.
    """
    engine, worker = machine.storage.engine, machine.worker
    fixed = {"first": [params], "first_named": [], "first_titles": [""], "first_winners": {}}
    study = create(
        machine.storage,
        name,
        whole.objective,
        {**whole.definition, **fixed},
        size_name=whole.size_name,
        files_place=whole.files_place,
        seed=whole.seed,
    )
    worker.join(study)
    joined = worker.joined[study.key]
    joined.kill_at = kill_at
    screen, worker.screen = worker.screen, _UntilEnough(worker.screen, joined, until)
    try:
        worker.work([study.key])
    finally:
        worker.screen = screen
        worker.take_up()
    (row,), (trial,) = machine.storage.leases.rows(study.key), all_trials(engine, study)
    why = "" if row["state"] in {"open", "complete"} else ended_as(machine, trial)
    resumed = json.loads(row["resumed_from"])
    return _Trained(study, history(engine, study, trial), trial.value, row["repeated"], resumed, why)


def ended_as(machine: Machine, trial: TrialRow) -> str:
    """Its state and the reason."""
    return f"{trial.state.upper()}: {attributes(machine.storage.engine, trial).get(named('reason'))}"


def with_log(machine: Machine, study: Study, why: str) -> SearchError:
    """The folder with the log is about to go, so its end is shown."""
    for line in log_end(machine.storage.engine, study, 0, workroot=machine.workroot, files_place=None) or ():
        machine.screen.say(Foreign(f"  {line}"))
    return SearchError(why)


class _UntilEnough:
    """A screen that ends the work once there is enough to compare."""

    def __init__(self, screen: Screen, joined: JoinedStudy, until: int | None) -> None:
        self._screen, self._joined, self._until = screen, joined, until

    def say(self, text: str) -> None:
        """What happens here is on purpose."""

    def tick(self, worker: Worker) -> None:
        if self._joined.kill_at is not None:
            return  # that is to come
        until = self._until if self._joined.killed_at is None else self._joined.killed_at + CHECK_EPOCHS
        if until is not None and any(trial.epoch >= until for trial in worker.trials.values()):
            worker.stop()

    def end(self) -> None:
        self._screen.end()
