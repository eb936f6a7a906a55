"""A study as Optuna's own object, with the sampler and the pruner that it names."""

from __future__ import annotations

import optuna
from optuna.storages import BaseStorage

from search.contract import seed_for
from search.rules.optuna_by_name import make_pruner, make_sampler
from search.studies.study import Study


def as_optuna(study: Study, storage: BaseStorage, lease: int) -> optuna.Study:
    """Optuna's study with the sampler of this lease: its own seed, the same whoever runs it."""
    return optuna.study.Study(
        study_name=study.name,
        storage=storage,
        sampler=make_sampler(study.definition.get("sampler"), study.startup, seed_for(study.seed, "sampler", lease)),
        pruner=make_pruner(study.definition.get("pruner"), study.size),
    )
