"""The order to a child: all that it needs to run a trial, and nothing of the database."""

from __future__ import annotations

import dataclasses

from optuna.distributions import distribution_to_json
from optuna.trial import Trial

from search.child.protocol import Go
from search.contract import Devices
from search.rules.content import stored_hash
from search.worker.joined_study import JoinedStudy
from search.worker.trial_folder import LocalCheckpoint, TrialFolder


def order(
    joined: JoinedStudy, trial: Trial, folder: TrialFolder, devices: Devices, checkpoint: LocalCheckpoint | None
) -> Go:
    """Begin, or go on from this checkpoint; with what the trial has been suggested and has reported already."""
    study, frozen = joined.study, trial._cached_frozen_trial
    return Go(
        run=folder.path.name,
        log=str(folder.log),
        number=trial.number,
        trial_id=trial._trial_id,
        study_id=study.study_id,
        study_name=study.name,
        direction=study.definition["direction"],
        seed=study.trial_seed(trial.number),
        workdir=str(folder.path),
        data_dir=str(joined.data_dir),
        source=str(joined.source) if joined.source else None,
        resume=str(checkpoint.path) if checkpoint else None,
        resumed_from=checkpoint.step if checkpoint else 0,
        trial_name=f"{study.name}-{study.key[:8]}-{trial.number}",
        size=dataclasses.asdict(study.size),
        cores=devices.cores,
        gpus=devices.gpus,
        refit=bool(study.refit),
        params=trial.params,
        distributions={name: distribution_to_json(value) for name, value in trial.distributions.items()},
        user_attrs=trial.user_attrs,
        constraints=trial.constraints,
        reported=list(frozen.intermediate_values),
        datetime_start=frozen.datetime_start.isoformat() if frozen.datetime_start else None,
        file=stored_hash(study.definition),
        limits={} if study.refit else joined.limits.of_the_network,
    )
