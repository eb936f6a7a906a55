"""A Hydra app, as it is, and the objective that searches its configuration on any number of machines.

    python examples/hydra_app.py rate=0.3                                # the app by itself
    make search STUDY=app OBJECTIVE=examples/hydra_app.py DIRECTION=maximize   # the search; make worker joins it

Each trial composes the configuration that the command line would, so that whatever it names can be searched.
"""

from dataclasses import dataclass

import hydra
import optuna
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig
from sklearn.datasets import load_wine
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


@dataclass
class Config:
    """What the app's command line may override."""

    loss: str = "hinge"
    rate: float = 0.01
    penalty: float = 1e-4
    folds: int = 5


ConfigStore.instance().store(name="config", node=Config)


def train(config: DictConfig) -> float:
    """Mean accuracy of the folds."""
    own = {"loss": config.loss, "alpha": config.penalty, "eta0": config.rate}
    classifier = make_pipeline(StandardScaler(), SGDClassifier(learning_rate="adaptive", random_state=0, **own))
    x, y = load_wine(return_X_y=True)
    return float(cross_val_score(classifier, x, y, cv=config.folds).mean())


def objective(trial: optuna.Trial) -> float:
    """The app under the overrides that a trial suggests."""
    overrides = [
        f"loss={trial.suggest_categorical('loss', ['hinge', 'log_loss', 'modified_huber'])}",
        f"rate={trial.suggest_float('rate', 1e-4, 1.0, log=True)}",
        f"penalty={trial.suggest_float('penalty', 1e-6, 1.0, log=True)}",
    ]
    with hydra.initialize(version_base=None, config_path=None):
        return train(hydra.compose("config", overrides))


@hydra.main(version_base=None, config_path=None, config_name="config")
def main(config: DictConfig) -> None:
    print(f"accuracy {train(config):.4f}")


if __name__ == "__main__":
    main()
