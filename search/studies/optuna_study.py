"""A study as Optuna's own object, with the sampler and the pruner that it names."""

from __future__ import annotations

import optuna
from optuna.storages import BaseStorage

from search.contract import seed_for
from search.rules.optuna_by_name import goes_through_one_sequence, make_pruner, make_sampler
from search.studies.study import Study


class SharedStudy(optuna.study.Study):
    """Optuna's study, of which each worker runs a few trials. A sampler that has tried everything stops it."""

    is_exhausted = False
    """Whether nothing more is to be tried."""

    def stop(self) -> None:
        """Optuna's refuses outside its own loop."""
        self.is_exhausted = True


def as_optuna(study: Study, storage: BaseStorage, lease: int, *, turned_down: int = 0) -> SharedStudy:
    """Optuna's study with the sampler of this lease: its own seed, the same whoever runs it.

    ``turned_down``: so many trials of this lease were, and the next is to be another.
    """
    spec = study.definition.get("sampler")
    own = (lease, turned_down) if turned_down else (lease,)
    seed = seed_for(study.seed, "sampler", *((0,) if goes_through_one_sequence(spec) else own))
    return SharedStudy(
        study_name=study.name,
        storage=storage,
        sampler=make_sampler(spec, study.startup, seed),
        pruner=make_pruner(study.definition.get("pruner"), study.size),
    )
