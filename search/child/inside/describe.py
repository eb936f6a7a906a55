"""What an objective's file declares, checked, as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import optuna
from optuna.distributions import distribution_to_json, json_to_distribution

from search.child.hardware import has_bfloat16, visible_gpus
from search.child.inside.load import Function
from search.child.protocol import Describe
from search.contract import Objective, Precision, SearchError, Size, Spec, size_from_json
from search.rules.optuna_by_name import refuse_what_cannot_be_made
from search.settings import PLAIN_TRIALS, SAMPLER

_POINTS = 100


def describe(
    objective: Objective | Function, order: Describe, *, sampler: Spec | None = None, pruner: Spec | None = None
) -> dict[str, Any]:
    """The part of a study's definition that only the objective's file knows, as JSON.

    ``sampler``, ``pruner``: what the file of a plain function names beside it.
    """
    if not isinstance(objective, Objective):
        if unknown := {"epochs", "train_images"} & set(order.changes):
            raise SearchError(
                f"a plain function knows no {' or '.join(sorted(unknown))}. Leave EPOCHS and TRAIN_SIZE out."
            )
        if order.first:
            raise SearchError("a plain function knows no points by name. Leave FIRST out.")
        size = size_from_json(order.size) if order.size else changed(Size(budget=PLAIN_TRIALS, epochs=0), order.changes)
        asked = {"sampler": order.sampler or sampler, "pruner": order.pruner or pruner}
        named = {name: as_json(spec) for name, spec in asked.items() if spec}
        _can_be_made(named.get("sampler"), named.get("pruner"), size)
        return {
            "kind": "function",
            "metric": "value",
            "direction": order.direction,
            "size": as_json(size),
            "first": [],
            **named,
            **_given(order),
        }
    size = _size(objective, order)
    space = _space(objective)
    chosen = as_json(order.sampler or objective.sampler or Spec(SAMPLER))
    pruned_by = as_json(order.pruner or objective.pruner)
    _can_be_made(chosen, pruned_by, size)
    return {
        "kind": "objective",
        "metric": objective.metric,
        "direction": objective.direction,
        "metric_is_share": objective.metric_is_share,
        "size": as_json(size),
        "space": space,
        "first": [_checked(hp, space) for hp in _first(objective, order, space)],
        "first_named": list(order.first),
        "first_winners": {name: dict(one) for name, one in order.winners.items() if name not in objective.points},
        "first_titles": [one if isinstance(one, str) else "" for one in order.first or objective.first],
        "sampler": chosen,
        "sampler_named": objective.sampler is not None,
        "pruner": pruned_by,
        **_given(order),
        "data": _data(objective, order, size),
        "needs": objective.source,
        "without_source": dict(objective.without_source),
        "shown": as_json(objective.shown),
        "sizes": {name: as_json(value) for name, value in objective.sizes.items()},
    }


def _data(objective: Objective, order: Describe, size: Size) -> Any:
    found = as_json(objective.data(Path(order.data_dir), size))
    wanted, there = order.changes.get("train_images"), found.get("train")
    if wanted and there is not None and wanted > there:
        raise SearchError(
            f"TRAIN_SIZE={wanted} was given, and the data have {there} examples to train on beside those for "
            "validation. Give at most that, or leave TRAIN_SIZE out."
        )
    return found


def _size(objective: Objective, order: Describe) -> Size:
    if order.size:
        return size_from_json(order.size)
    if order.size_name is None or order.size_name not in objective.sizes:
        raise SearchError(f"there is no size {order.size_name!r}. Give one of: {', '.join(objective.sizes)}")
    return as_computed_here(changed(objective.sizes[order.size_name], order.changes))


def as_computed_here(size: Size) -> Size:
    """In float32, where neither processor nor GPUs have anything less; what has not is older, and slower too."""
    if size.precision != "bfloat16" or has_bfloat16(visible_gpus()):
        return size
    guide = size.images_per_second and size.images_per_second / 2
    return dataclasses.replace(size, precision="float32", images_per_second=guide)


def changed(size: Size, changes: Mapping[str, Any]) -> Size:
    """The size with what a user asked for instead. A refit takes as many epochs as a trial, whatever time is left, and
    the images in sight; a number of trials is as many as that."""
    extra: dict[str, Any] = {"minutes": None} if {"epochs", "train_images"} & set(changes) else {}
    if "budget" in changes:
        extra["patience"] = None
    if "epochs" in changes:
        extra["refit_epochs"] = changes["epochs"]
    if "train_images" in changes:
        extra["refit_images"] = changes["train_images"] + size.validation_images
    return dataclasses.replace(size, **changes, **extra)


def _given(order: Describe) -> dict[str, list[str]]:
    """What somebody asked for in place of the file's: that the file says another is no difference."""
    given = [name for name in ("sampler", "pruner") if getattr(order, name)]
    return {"given": given} if given else {}


def _can_be_made(sampler: Mapping[str, Any] | None, pruner: Mapping[str, Any] | None, size: Size) -> None:
    """A wrong name or keyword shows now and not after the first claim."""
    if size.precision not in get_args(Precision):
        raise SearchError(f"a size has the precision {size.precision!r}. Give one of: {', '.join(get_args(Precision))}")
    refuse_what_cannot_be_made(sampler, pruner, size)


def _space(objective: Objective) -> dict[str, Any]:
    """Of so many points at random, since some parameters are asked for beside certain others only."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found: dict[str, Any] = {}
    for _ in range(_POINTS):
        trial = study.ask()
        objective.suggest(trial)
        found |= {name: json.loads(distribution_to_json(value)) for name, value in trial.distributions.items()}
    return found


def _first(objective: Objective, order: Describe, space: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objective's own, or points by name; another study's winner as far as it lies in this space, the rest as in
    the objective's own first."""
    if not order.first:
        return objective.tried_first()
    found = []
    for name in order.first:
        if name in order.winners and name not in objective.points:
            shared = {key: value for key, value in order.winners[name].items() if _lies_in(space, key, value)}
            if not shared:
                raise SearchError(
                    f"FIRST names {name!r}, and the winner of that study has none of the parameters that are searched "
                    f"here: {', '.join(space)}. Give another, or leave FIRST out."
                )
            found.append({**(objective.tried_first() or [{}])[0], **shared})
        else:
            found += objective.tried_first([name])
    return found


def _lies_in(space: Mapping[str, Any], name: str, value: Any) -> bool:
    if name not in space:
        return False
    distribution = json_to_distribution(json.dumps(space[name]))
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (TypeError, ValueError):  # Optuna's, of a value that is of another type
        return False


def _checked(first: dict[str, Any], space: Mapping[str, Any]) -> dict[str, Any]:
    # Optuna ignores a misspelt fixed parameter and only warns of one out of range.
    for name, value in first.items():
        if name not in space:
            raise SearchError(f"`first` names {name!r}, which is not in the space: {', '.join(space)}. Correct it.")
        if not _lies_in(space, name, value):
            distribution = json_to_distribution(json.dumps(space[name]))
            raise SearchError(f"`first` has {name}={value!r}, which lies outside {distribution}. Correct it.")
    return first


def as_json(value: Any) -> Any:
    """A dataclass or a mapping as JSON gives it back."""
    return json.loads(json.dumps(dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value))  # type: ignore[arg-type]
