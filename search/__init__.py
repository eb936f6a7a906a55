"""Hyperparameter search on Optuna and SQL. Nothing in here imports Keras or an objective's file.

Rooms, from the door down; imports go down only: commands; show; export, worker; studies; child, files;
rules, database; then the files beside them. ``search.run(trial)`` is for a plain function's training,
``search.contract`` for objectives.
"""

from search.contract import BadCheckpointError
from search.trial_run import Run, run

__all__ = ["BadCheckpointError", "Run", "run"]
