"""A person's own file: plain Optuna and scikit-learn, nothing of ours. It is searched as it is."""

from optuna import TrialPruned
from optuna.trial import BaseTrial
from sklearn.datasets import load_iris
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split


def objective(trial: BaseTrial) -> float:
    x, test_x, y, test_y = train_test_split(*load_iris(return_X_y=True), random_state=0)
    alpha = trial.suggest_float("alpha", 1e-5, 1e-1, log=True)
    penalty = trial.suggest_categorical("penalty", ["l1", "l2", None])
    extra = trial.suggest_int("extra", 0, 2, step=2)
    trial.set_constraint("time", extra - 1)
    model = SGDClassifier(alpha=alpha, penalty=penalty, random_state=0)
    accuracy = 0.0
    for step in range(5 + extra):
        accuracy = model.partial_fit(x, y, classes=[0, 1, 2]).score(test_x, test_y)
        trial.report(accuracy, step)
        if trial.should_prune():
            raise TrialPruned
    trial.set_user_attr("coefficients", model.coef_.tolist())
    return accuracy
