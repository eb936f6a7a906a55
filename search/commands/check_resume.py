"""Part of ``check``: a trial is killed with SIGKILL and goes on, beside two that nobody disturbs."""

from __future__ import annotations

import json
from dataclasses import dataclass

from search.commands.machine import Machine
from search.errors import SearchError
from search.rules.same_curve import Curve, differences, worst_beyond_chance
from search.settings import CHECK_EPOCHS, WORK
from search.show.trial_log import log_end
from search.studies.attributes import named
from search.studies.create import create
from search.studies.study import Study
from search.studies.trials import TrialRow, all_trials, attributes, history, parameters
from search.worker.loop import Screen, Worker


@dataclass(frozen=True)
class _Trained:
    """What became of one trial."""

    study: Study
    curve: Curve
    repeated: int
    resumed_from: list[int]
    why_ended: str
    """Where it neither came to its end nor was stopped because that is enough."""


def check_resume(machine: Machine, whole: Study) -> None:
    """SearchError where the trial of ``whole``, killed with its first checkpoint, does not go on as it was."""
    say = machine.screen.say
    (trial,) = all_trials(machine.storage.engine, whole)
    undisturbed = history(machine.storage.engine, whole, trial)
    if max(map(len, undisturbed.values()), default=0) < 2:
        say("it has one step only, so that there is nothing to go on with after a kill")
        return
    again = _train(machine, whole, "check-again", killed=False)
    killed = _train(machine, whole, "check-killed", killed=True)
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
    found = differences(killed.curve, undisturbed, again.curve, behind=begun)
    what = f"killed with SIGKILL behind epoch {begun} and gone on, the trial is"
    if not found:
        say(f"{what} bit for bit what it is undisturbed")
    elif worst := worst_beyond_chance(found):
        raise SearchError(
            f"{what} another: {worst.name} of epoch {worst.epoch} is {worst.resumed:.6g}, undisturbed "
            f"{worst.undisturbed:.6g}, and two undisturbed trainings differ by {worst.spread:.2g} at most. Something "
            "is not in the checkpoint, such as the optimizer's variables, a random state, or the order of the data."
        )
    else:
        say(f"{what} what it is undisturbed, within what two undisturbed trainings differ by themselves")


def _train(machine: Machine, whole: Study, name: str, *, killed: bool) -> _Trained:
    """The same trial, seed and parameters, in a study of its own; of a plain function a few steps."""
    engine, worker = machine.storage.engine, machine.worker
    (trial,) = all_trials(engine, whole)
    fixed = {"first": [parameters(engine, trial)], "first_named": [], "first_titles": [""], "first_winners": {}}
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
    worker.joined[study.key].kills_at_checkpoint = killed
    screen, worker.screen = worker.screen, _UntilEnough(worker.screen)
    try:
        worker.work([study.key])
    finally:
        worker.screen = screen
        worker.take_up()
    (row,), (trial,) = machine.storage.leases.rows(study.key), all_trials(engine, study)
    why = "" if row["state"] in {"open", "complete"} else ended_as(machine, trial)
    return _Trained(study, history(engine, study, trial), row["repeated"], json.loads(row["resumed_from"]), why)


def ended_as(machine: Machine, trial: TrialRow) -> str:
    """Its state and the reason."""
    return f"{trial.state.upper()}: {attributes(machine.storage.engine, trial).get(named('reason'))}"


def with_log(machine: Machine, study: Study, why: str) -> SearchError:
    """The folder with the log is about to go, so its end is shown."""
    for line in log_end(machine.storage.engine, study, 0, workroot=WORK.resolve(), files_place=None):
        machine.screen.say(f"  {line}")
    return SearchError(why)


class _UntilEnough:
    """A screen that ends the work once there is enough to compare, as a plain function may take many steps."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def say(self, text: str) -> None:
        """What happens here is on purpose."""

    def tick(self, worker: Worker) -> None:
        if any(trial.epoch >= CHECK_EPOCHS for trial in worker.trials.values()):
            worker.stop()

    def end(self) -> None:
        self._screen.end()
