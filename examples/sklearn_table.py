"""A plain function, as Optuna takes it: which trees suit a table? Without a checkpoint, as a trial takes a second.

    make search STUDY=table OBJECTIVE=examples/sklearn_table.py DIRECTION=maximize TRIALS=20

Each trial reports after each part of a five-fold cross-validation, so that hopeless ones are pruned after two.
"""

import optuna
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold

# Imported once: a training process runs many trials.
X, Y = load_breast_cancer(return_X_y=True)
FOLDS = StratifiedKFold(n_splits=5, shuffle=True, random_state=0)


def objective(trial: optuna.Trial) -> float:
    """Mean balanced accuracy of five folds."""
    trees = HistGradientBoostingClassifier(
        learning_rate=trial.suggest_float("learning_rate", 0.01, 0.5, log=True),
        max_leaf_nodes=trial.suggest_int("max_leaf_nodes", 4, 64, log=True),
        min_samples_leaf=trial.suggest_int("min_samples_leaf", 5, 50),
        l2_regularization=trial.suggest_float("l2_regularization", 1e-6, 10.0, log=True),
        max_iter=60,
        random_state=0,
    )
    scores: list[float] = []
    for fold, (train, held_out) in enumerate(FOLDS.split(X, Y), start=1):
        trees.fit(X[train], Y[train])
        scores.append(float(balanced_accuracy_score(Y[held_out], trees.predict(X[held_out]))))
        trial.report(sum(scores) / fold, fold)
        if trial.should_prune():
            raise optuna.TrialPruned
    return sum(scores) / len(scores)


if __name__ == "__main__":  # plain Optuna runs the same function
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=5)
    print(study.best_params)
