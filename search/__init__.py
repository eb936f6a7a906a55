"""Hyperparameter search on Optuna and SQL. Nothing in here imports Keras or an objective's file."""
