"""A trial as Optuna reads it, over the pipe: as JSON and back."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.trial import FrozenTrial, TrialState


def to_json(trial: FrozenTrial) -> dict[str, Any]:
    """What ``from_json`` takes."""
    return {
        "number": trial.number,
        "trial_id": trial._trial_id,
        "state": trial.state.name,
        "values": trial.values,
        "params": trial.params,
        "distributions": {name: distribution_to_json(value) for name, value in trial.distributions.items()},
        "user_attrs": trial.user_attrs,
        "system_attrs": trial.system_attrs,
        "intermediate_values": list(trial.intermediate_values.items()),
        "datetime_start": trial.datetime_start and trial.datetime_start.isoformat(),
        "datetime_complete": trial.datetime_complete and trial.datetime_complete.isoformat(),
    }


def from_json(found: Mapping[str, Any]) -> FrozenTrial:
    """The same trial, in another process."""
    times = {name: found[name] for name in ("datetime_start", "datetime_complete")}
    return FrozenTrial(
        number=found["number"],
        trial_id=found["trial_id"],
        state=TrialState[found["state"]],
        value=None,
        values=found["values"],
        params=found["params"],
        distributions={name: json_to_distribution(text) for name, text in found["distributions"].items()},
        user_attrs=found["user_attrs"],
        system_attrs=found["system_attrs"],
        intermediate_values=dict(found["intermediate_values"]),
        **{name: text and datetime.datetime.fromisoformat(text) for name, text in times.items()},
    )
