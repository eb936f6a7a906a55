"""Optuna's storage and study as the training process sees them: what is read comes over the pipe.

Of what is written only the trial's own attributes go back, through the fence. All else is the worker's to do.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, NoReturn

from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.child.frozen import from_json
from search.child.inside.own_attr import as_json
from search.child.inside.pipe_end import Line
from search.child.protocol import AskStudyAttrs, AskTrials, EndStudy, Go, SystemAttr, UserAttr
from search.errors import UnsupportedError


def _refused(what: str) -> NoReturn:
    raise UnsupportedError(
        f"the objective {what}, which is not supported here: a trial can read its study and write its own attributes. "
        "Take it out, then type the command again"
    )


def _refusal(what: str) -> Callable[..., NoReturn]:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        _refused(what)

    return refuse


class RemoteStorage(BaseStorage):
    """Of one study, for one trial."""

    def __init__(self, line: Line, go: Go) -> None:
        self._line, self._go = line, go

    # -- read --------------------------------------------------------------------------------------------------------

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._go.study_id if study_name == self._go.study_name else _refused(f"reads the study {study_name!r}")

    def get_study_name_from_id(self, study_id: int) -> str:
        self._own_study(study_id)
        return self._go.study_name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        self._own_study(study_id)
        return [StudyDirection[self._go.direction.upper()]]

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        self._own_study(study_id)
        return dict(self._line.ask(AskStudyAttrs("user")))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        self._own_study(study_id)
        return dict(self._line.ask(AskStudyAttrs("system")))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        found = self._line.ask(AskTrials(trial_id))
        if not found:
            raise KeyError(f"the study has no trial with the id {trial_id}")
        return from_json(found[0])

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,  # noqa: ARG002 - they are new each time
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        self._own_study(study_id)
        trials = map(from_json, self._line.ask(AskTrials(None)))
        return [trial for trial in trials if states is None or trial.state in states]

    def _own_study(self, study_id: int) -> None:
        if study_id != self._go.study_id:
            _refused(f"reads the study with the id {study_id}")

    # -- written by the trial itself -----------------------------------------------------------------------------------

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._own_trial(trial_id)
        self._line.send(UserAttr(key, as_json(key, value)))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._own_trial(trial_id)
        self._line.send(SystemAttr(key, as_json(key, value)))

    def end_study(self) -> None:
        """Optuna's ``Study.stop``."""
        self._line.send(EndStudy())

    def _own_trial(self, trial_id: int) -> None:
        if trial_id != self._go.trial_id:
            _refused("writes into another trial")

    # -- the worker's --------------------------------------------------------------------------------------------------

    get_all_studies = _refusal("lists all studies")
    create_new_study = _refusal("creates a study")
    delete_study = _refusal("deletes a study")
    set_study_user_attr = _refusal("writes an attribute of its study")
    set_study_system_attr = _refusal("writes an attribute of its study")
    create_new_trial = _refusal("makes another trial")
    set_trial_param = _refusal("writes a parameter into the storage")
    set_trial_state_values = _refusal("ends a trial in the storage")
    set_trial_intermediate_value = _refusal("reports into the storage")


class RemoteStudy(Study):
    """Optuna's study over that storage."""

    def stop(self) -> None:
        """What runs ends well, and nothing more is begun."""
        self._storage.end_study()  # type: ignore[attr-defined]

    optimize = _refusal("optimizes its study")
    ask = _refusal("makes another trial")
    tell = _refusal("ends a trial")
