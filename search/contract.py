"""All that the two halves know of each other: an objective, and what is lent to one trial.

A file in ``objectives/`` ends with ``OBJECTIVE = Objective(...)``. The service runs it in a child process; the same
object is a plain Optuna objective too: ``study.optimize(OBJECTIVE)``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from search.errors import SearchError
from search.report_declaration import Number, Picture, Shown, Table
from search.settings import DATA, PREFIX, SIZE

if TYPE_CHECKING:  # commands that only read do without Optuna
    from optuna.trial import BaseTrial

__all__ = [
    "BadCheckpointError",
    "Devices",
    "Number",
    "Objective",
    "Picture",
    "Precision",
    "SearchError",
    "Shown",
    "Size",
    "Spec",
    "Split",
    "Table",
    "TrialContext",
    "Unusable",
    "seed_for",
]

Split = Literal["validation", "test"]
Direction = Literal["maximize", "minimize"]
Precision = Literal["float32", "bfloat16"]
Hyperparameters = Any
"""A frozen dataclass of the objective's own, its fields named as the parameters of its space."""


class Unusable(Exception):  # noqa: N818 - a verdict on hyperparameters, not an error of anybody's
    """Raised by ``train`` where these hyperparameters lead nowhere (NaN, out of memory): the trial is pruned."""


class BadCheckpointError(SearchError):
    """Raised by ``train`` where ``context.resume`` cannot be used. Another one is tried, if there is one."""


@dataclass(frozen=True)
class Spec:
    """A sampler's or pruner's name and keywords: data, so that it can be stored with a study and compared.

    ``name`` is a class of ``optuna.samplers``, or ``"quadratic"``, which draws from a Bayesian quadratic of the trials
    so far; a class of ``optuna.pruners``, which is asked after each epoch, or ``"asha"``, asked at the size's rungs.
    """

    name: str
    keywords: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is spent on a study. Stored with it, never taken from the machine that joins.

    ``train_images`` None means every training image that is not a validation image; ``refit_images`` None means every
    training image of the data set. ``rungs`` are finished epochs. ``images_per_second`` is a guide for two CPU cores
    and this precision, for the first estimate of the time only. ``batch`` is in images. ``precision`` is what a network
    computes in (its weights are float32 always); "bfloat16" becomes "float32" in a study that is created where neither
    processor nor GPUs have it, and the guide half. ``minutes``, where no time limit is given, are for search and refit
    of one command: what the search leaves goes into more epochs than ``refit_epochs``, up to three times as many;
    nothing is ended by them. ``patience``: a search whose number of trials nobody gave goes on until so many behind the
    winner brought no better one, up to three times ``budget``; None: it has ``budget`` trials.
    """

    budget: int
    epochs: int
    rungs: tuple[int, ...] = ()
    train_images: int | None = None
    validation_images: int = 5_000
    width: int = 1
    refit_epochs: int = 1
    refit_images: int | None = None
    batch: int = 128
    images_per_second: float | None = None
    precision: Precision = "float32"
    minutes: float | None = None
    patience: int | None = None


@dataclass(frozen=True)
class Devices:
    """What one child may use: CPU cores, and the GPUs as CUDA_VISIBLE_DEVICES names them."""

    cores: int = 1
    gpus: tuple[str, ...] = ()


class TrialContext(Protocol):
    """Lent to one trial. Paths are absolute; ``workdir`` is this trial's alone.

    What lies in ``workdir / "model"`` when ``train`` returns is kept, if the trial is one of the best.
    """

    workdir: Path
    data_dir: Path
    source: Path | None
    """Transfer: the folder that the source study's best ``train`` left in its ``workdir / "model"``."""
    resume: Path | None
    """The checkpoint to go on from, as it was handed to ``report``."""
    number: int
    seed: int
    size: Size
    devices: Devices
    refit: bool
    """Train on every training image, ``size.refit_epochs``, no early stopping, no validation."""

    def report(self, step: int, values: Mapping[str, float], checkpoint: Path | None = None) -> bool:
        """Epoch ``step`` (from 1) is finished, with these finite values. False: stop now. Never waits.

        ``values`` holds the objective's metric under its name, except in a refit; beside it whatever belongs to the
        history, of which ``images_per_second`` is shown while it runs, and ``training_seconds``, those of this epoch's
        training steps, are added up for the share of a study's time that they are. ``checkpoint`` is a complete file
        whose name is its own (one a step): it is the service's from here on, which removes it in time. It must hold all
        that the rest of the training depends on: the epoch, weights, optimizer, states of random generators, and what
        counts towards early stopping; the order of the data too, unless that follows from seed and epoch. ``check``
        says whether it does.
        """
        ...

    def stopping(self) -> bool:
        """Cheap, asked after each batch: True to end here. What counts is the last finished epoch."""
        ...

    def built(self, parameters: int, flops: float | None = None) -> None:
        """How large the network is, ``flops`` those of one example forward. Before the first step: raises Unusable
        where a limit of the study's (MAX_PARAMS, MAX_FLOPS) is exceeded, which costs nothing of its budget. An
        objective that leaves this out cannot be limited so."""
        ...


def _no_data(_data_dir: Path, _size: Size) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A search space and how one trial of it is trained and evaluated."""

    suggest: Callable[[BaseTrial], Hyperparameters]
    """The space; flat. Parameters that make no sense beside others are not asked for."""
    train: Callable[[Hyperparameters, TrialContext], float]
    """One trial. Returns the metric of the best epoch (a refit: of the last). No Optuna, no SQL."""
    evaluate: Callable[[Path, Path, Split], Mapping[str, Any]]
    """(what train left in ``model``, the data folder, split) -> metrics as JSON: numbers, shown under their own names
    or as ``shown`` declares them, and whatever its tables name. May add files to the folder: they are exported with it.
    Under ``model`` the metrics may say what the model is: ``file``, ``sha256``, ``parameters``."""
    metric: str
    direction: Direction = "maximize"
    metric_is_share: bool = False
    """The metric is a share of the validation examples, which ``data`` counts as ``validation``: so it is known what of
    a difference between two trials may be chance. What may well be, is a tie, and ties go to the first of ``first``."""
    sizes: Mapping[str, Size]
    """By name; ``quick`` is what is meant where nobody says."""
    points: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Parameters that are known by a name: ``first`` may list it, and FIRST=NAME picks it for a study."""
    first: Sequence[str | Mapping[str, Any]] = ()
    """Points, or parameters, tried before the sampler is asked, and not stopped by the pruner; the first is what we
    would train unsearched."""
    sampler: Spec | None = None
    """None: ``"quadratic"``, or what the service's own is when a study is created."""
    pruner: Spec = field(default_factory=lambda: Spec("asha"))
    data: Callable[[Path, Size], Mapping[str, Any]] = _no_data
    """(data folder, size) -> name, counts and checksums of data and split, as JSON: part of the study's definition.
    ``images`` counts all examples but the test's, ``validation`` those that a trial is validated on: by them it is
    reckoned how long a refit takes, and what may be chance; ``train``, those that a trial is trained on, is shown.
    Finds or downloads; raises SearchError in one line where there is nothing to be had."""
    test_checksum: Callable[[Path], str] | None = None
    """(data folder) -> SHA-256 of the test data, which are opened only then: looks at the same data are counted
    together, whichever study takes them. None: each study's are counted by themselves."""
    source: str | None = None
    """Transfer: the objective whose best files arrive in ``context.source``."""
    without_source: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that are fixed where there is no source. An entry of ``first`` with these is the control."""
    shown: Shown = field(default_factory=Shown)

    def tried_first(self, names: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The parameters of ``first``, or of these points in its place. SearchError for a name that is no point's."""
        return [self._point(one) if isinstance(one, str) else parameters(one) for one in names or self.first]

    def _point(self, name: str) -> dict[str, Any]:
        if name not in self.points:
            there = f"there are {', '.join(self.points)}" if self.points else "this objective names none"
            raise SearchError(
                f"no point is called {name!r}: {there}. Give a point, or a study that has a winner, or leave FIRST out."
            )
        return parameters(self.points[name])

    def __call__(self, trial: BaseTrial) -> float:
        """Plain Optuna: size ``quick`` in float32, a temporary folder, the default data folder, no resume."""
        return self.under_optuna(trial, dataclasses.replace(self.sizes[SIZE], precision="float32"))

    def under_optuna(self, trial: BaseTrial, size: Size) -> float:
        """The same with a size of your own: ``study.optimize(lambda trial: OBJECTIVE.under_optuna(trial, size))``."""
        from optuna import TrialPruned  # noqa: PLC0415

        hp = self.suggest(trial)
        if self.without_source:
            # Optuna has drawn them already: what was trained instead stands beside what the trial says.
            hp = _fixed(hp, self.without_source)
            trial.set_user_attr(f"{PREFIX}without_source", dict(self.without_source))
        data_dir = Path(os.environ.get("SEARCH_DATA_DIR", DATA)).resolve()
        self.data(data_dir, size)
        with tempfile.TemporaryDirectory(prefix="search-") as folder:
            context = _PlainContext(Path(folder), data_dir, trial, size, self.metric)
            try:
                value = self.train(hp, context)
            except Unusable as reason:
                trial.set_user_attr(f"{PREFIX}reason", str(reason))
                raise TrialPruned(str(reason)) from reason
            if context.pruned:
                raise TrialPruned
            return value


class _PlainContext:
    """A TrialContext for ``study.optimize``: reports straight to the trial; keeps the newest checkpoint only."""

    source: Path | None = None
    resume: Path | None = None
    refit = False

    def __init__(self, workdir: Path, data_dir: Path, trial: BaseTrial, size: Size, metric: str) -> None:
        self.workdir, self.data_dir, self.size = workdir, data_dir, size
        self.number, self.seed = trial.number, seed_for(0, trial.number)
        self.devices = Devices(cores=os.cpu_count() or 1)
        self.pruned = False
        self._trial, self._metric, self._checkpoint = trial, metric, None

    def report(self, step: int, values: Mapping[str, float], checkpoint: Path | None = None) -> bool:
        if self._checkpoint is not None and self._checkpoint != checkpoint:
            self._checkpoint.unlink(missing_ok=True)
        self._checkpoint = checkpoint  # type: ignore[assignment]
        self._trial.report(values[self._metric], step)
        self.pruned = step < self.size.epochs and self._trial.should_prune()
        return not self.pruned

    def stopping(self) -> bool:
        return False

    def built(self, parameters: int, flops: float | None = None) -> None:
        self._trial.set_user_attr(f"{PREFIX}network", {"parameters": parameters, "flops": flops})


def _fixed(hp: Hyperparameters, fixed: Mapping[str, Any]) -> Hyperparameters:
    return {**hp, **fixed} if isinstance(hp, Mapping) else dataclasses.replace(hp, **fixed)


def seed_for(*parts: int | str) -> int:
    """A 31-bit seed from the study's seed, the trial's number and whatever else tells two uses apart."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big") >> 1


def size_from_json(data: Mapping[str, Any]) -> Size:
    """The inverse of ``dataclasses.asdict`` behind JSON, which has no tuples. A field that is missing has its default.

    SearchError for a field that this version does not know.
    """
    if unknown := set(data) - {one.name for one in dataclasses.fields(Size)}:
        raise SearchError(
            f"a study was made by a newer version: its size has {', '.join(sorted(unknown))}, which is unknown here. "
            "Renew this checkout: git pull"
        )
    return Size(**{**data, "rungs": tuple(data["rungs"])})


def parameters(hp: Hyperparameters) -> dict[str, Any]:
    """A frozen dataclass or a mapping as the flat parameters of the space."""
    return dict(hp) if isinstance(hp, Mapping) else dataclasses.asdict(hp)
