"""What a study is, held against what its objective's file says here and against what was asked for."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search.errors import SearchError
from search.rules.content import short, stored_hash
from search.rules.spec import spec_in_words
from search.studies.study import Study

_NOT_COMPARED = {
    "file",
    "first_named",
    "first_titles",
    "first_winners",
    "given",
    "metric_is_share",
    "references",
    "sampler_named",
    "shown",
    "sizes",
}

_FORMER_SAMPLER = {"name": "TPESampler", "keywords": {}}
"""The service's own, when studies did not store whether their objective named one."""


def refuse_difference(study: Study, fresh: Mapping[str, Any]) -> None:
    """SearchError with both values where the objective's file here says other than the study's definition."""
    # Fields that are newer than the stored size have their defaults.
    size = json.loads(json.dumps(dataclasses.asdict(study.size)))
    stored = {**study.definition, "size": {**size, "budget": None}}
    own = {**fresh, "size": {**fresh["size"], "budget": None}}
    if "source" in stored:
        own["source"] = stored["source"]
    if "space" in stored and "first_named" not in stored:  # from before conditional parameters were all looked for
        own["space"] = {name: one for name, one in own.get("space", {}).items() if name in stored["space"]}
    if not fresh.get("sampler_named") and not stored.get("sampler_named", stored.get("sampler") != _FORMER_SAMPLER):
        own["sampler"] = stored.get("sampler")  # it goes on with what the service's own was
    for name in stored.get("given", ()):
        own[name] = stored[name]
    differences = list(_differences(_plain(stored), _plain(own)))
    if differences:
        path, before, now = differences[0]
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        raise SearchError(
            f"the study {study.name!r} was created with {path} = {before}, here it is {now}{more}. "
            "Go back to what it was, or give a new STUDY."
        )


def refuse_changed_file(study: Study, fresh: Mapping[str, Any]) -> None:
    """SearchError with both hashes where somebody's own file has another content here; its path says nothing."""
    stored, own = stored_hash(study.definition), stored_hash(fresh)
    if stored is not None and own is not None and stored != own:
        raise SearchError(
            f"the study {study.name!r} goes by {study.objective} with the content {short(stored)}, here it is "
            f"{short(own)}. Go back to what it was, give a new STUDY, or say yes to the change: the same command with "
            "CHANGED=1"
        )


def _plain(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in definition.items() if key not in _NOT_COMPARED}


def _differences(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            yield from _differences(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
    elif one != other:
        yield path, json.dumps(one)[:80], json.dumps(other)[:80]


def refuse_other_flags(
    study: Study,
    *,
    objective: str | None = None,
    size: str | None = None,
    epochs: int | None = None,
    train_size: int | None = None,
    source: str | None = None,
    direction: str | None = None,
    first: Sequence[str] | None = None,
    sampler: Mapping[str, Any] | None = None,
    pruner: Mapping[str, Any] | None = None,
) -> None:
    """SearchError with both values where a flag that was given contradicts the study; None: it was not given."""
    for flag, asked, there in (
        ("OBJECTIVE", objective and os.path.normpath(objective), study.objective),
        ("SIZE", size, study.size_name),
        ("EPOCHS", epochs, study.size.epochs),
        ("TRAIN_SIZE", train_size, study.size.train_images),
        ("SOURCE", source, (study.definition.get("source") or {}).get("study", "none")),
        ("DIRECTION", direction, study.definition["direction"]),
        ("SAMPLER", sampler and spec_in_words(sampler, ""), study.sampler_in_words),
        ("PRUNER", pruner and spec_in_words(pruner, ""), study.pruner_in_words),
        ("FIRST", first and ",".join(first), ",".join(study.definition.get("first_named") or ["the objective's own"])),
    ):
        if asked is not None and asked != there:
            raise SearchError(
                f"the study {study.name!r} was created with {flag}={there}, {flag}={asked} was given. "
                f"Go on without {flag}, or give a new STUDY."
            )
