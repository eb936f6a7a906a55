"""Your own Keras model under ``model.fit``: killed at any time, a trial goes on at its last epoch, here or elsewhere.

    make search STUDY=diabetes OBJECTIVE=examples/keras_loop.py DIRECTION=minimize TRIALS=10

A regression of 442 patients. What the five lines marked with # <- add: the checkpoint, the report, the kept model.
"""

import keras
import optuna
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

import search  # <-
from search.keras import RunCallback  # <-

EPOCHS = 30
X, Y = load_diabetes(return_X_y=True, as_frame=False)
TRAIN_X, HELD_OUT_X, TRAIN_Y, HELD_OUT_Y = train_test_split(X, Y, test_size=0.25, random_state=0)


def objective(trial: optuna.Trial) -> float:
    """Mean absolute error of the best epoch on the patients held out, in points of the disease's progression."""
    run = search.run(trial)  # <-
    keras.utils.set_random_seed(run.seed)
    scale = keras.layers.Normalization()
    scale.adapt(TRAIN_X)
    layers: list[keras.Layer] = [keras.Input(TRAIN_X.shape[1:]), scale]
    for _ in range(trial.suggest_int("layers", 1, 3)):
        layers += [
            keras.layers.Dense(trial.suggest_int("units", 8, 128, log=True), activation="relu"),
            keras.layers.Dropout(trial.suggest_float("dropout", 0.0, 0.5)),
        ]
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    rate = trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True)
    model.compile(keras.optimizers.Adam(rate), loss="huber", metrics=["mae"])
    keep = RunCallback(run, monitor="val_mae")  # <-
    model.fit(
        TRAIN_X,
        TRAIN_Y,
        validation_data=(HELD_OUT_X, HELD_OUT_Y),
        epochs=EPOCHS,
        initial_epoch=run.step,  # <-
        callbacks=[keep],
        verbose=0,
    )
    return keep.best
