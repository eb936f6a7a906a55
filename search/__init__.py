"""Hyperparameter search on Optuna and SQL. Nothing in here imports Keras or an objective's file.

Rooms, from the door down; imports go down only: commands; worker, show, export; studies; child, files; database; rules;
then the files beside them.
"""
