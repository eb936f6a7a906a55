"""A checkpoint: one npz that holds all a run needs to go on as if it had never stopped.

Keras's own ``.keras`` and ``.weights.h5`` leave the random generators' states out, and ``BackupAndRestore`` the
callbacks' counters. This holds every variable of the model, of the optimizer, the best epoch's weights, and the rest as
JSON. No pickle. A checksum over all of it is verified before anything is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.contract import BadCheckpointError

Arrays = Mapping[str, Sequence[np.ndarray]]
FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """``state`` is JSON; ``arrays`` are lists by name (``model``, ``optimizer``, ``best``)."""

    state: dict[str, Any]
    arrays: Arrays


def save(path: Path, state: Mapping[str, Any], arrays: Arrays) -> None:
    """Writes under a temporary name, then renames: whatever bears the name is whole."""
    members = {f"{name}/{i:04d}": np.asarray(a) for name, part in arrays.items() for i, a in enumerate(part)}
    text = json.dumps({"format": FORMAT, "parts": {name: len(part) for name, part in arrays.items()}, **state})
    members["state"] = np.frombuffer(text.encode(), dtype=np.uint8)
    members["checksum"] = np.frombuffer(_checksum(members), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **members)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())  # else a power cut can leave the name without the content
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> Checkpoint:
    """Reads and verifies; a BadCheckpointError names a file that is missing, torn or altered."""
    try:
        with np.load(path, allow_pickle=False) as file:
            members = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    written = members.pop("checksum", None)
    if written is None or written.tobytes() != _checksum(members):
        raise _damaged(path, "its checksum does not match")
    state = json.loads(members["state"].tobytes())
    if state["format"] != FORMAT:
        raise BadCheckpointError(
            f"the checkpoint {path} has format {state['format']}, this code reads {FORMAT}: remove it"
        )
    return Checkpoint(
        state, {name: [members[f"{name}/{i:04d}"] for i in range(count)] for name, count in state["parts"].items()}
    )


def assign(variables: Iterable[Any], arrays: Sequence[np.ndarray], path: Path) -> None:
    """Sets Keras variables in order. A BadCheckpointError where the checkpoint is of another network or optimizer."""
    targets = list(variables)
    shapes, found = [tuple(v.shape) for v in targets], [a.shape for a in arrays]
    if shapes != found:
        raise BadCheckpointError(
            f"the checkpoint {path} is of another network or optimizer ({len(found)} arrays where {len(shapes)} "
            "variables of certain shapes are needed): remove it to begin the trial again"
        )
    for variable, array in zip(targets, arrays, strict=True):
        variable.assign(array)


def other_run(path: Path, found: str, wanted: str) -> BadCheckpointError:
    return BadCheckpointError(f"the checkpoint {path} is of a run of {found}, this is one of {wanted}: remove it")


def _checksum(members: Mapping[str, np.ndarray]) -> bytes:
    digest = hashlib.blake2b(digest_size=32)
    for name in sorted(members):
        array = np.ascontiguousarray(members[name])
        digest.update(f"{name} {array.dtype.str} {members[name].shape} ".encode())
        digest.update(array.tobytes())
    return digest.digest()


def _damaged(path: Path, why: str) -> BadCheckpointError:
    return BadCheckpointError(f"the checkpoint {path} cannot be used ({why}): remove it to begin the trial again")
