"""Your own PyTorch loop: killed at any time, a trial goes on at its last epoch, here or elsewhere, on the same curve.

    make search STUDY=digits OBJECTIVE=examples/torch_loop.py DIRECTION=maximize TRIALS=20

What the lines marked with # <- add to a loop that Optuna runs already. A checkpoint holds all that the rest of the
training depends on: weights, optimizer, the state of the random generator; `make check` says whether it does.
"""

import optuna
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import search  # <-

EPOCHS, BATCH, HELD_OUT = 20, 64, 360
DIGITS = load_digits()
X = torch.tensor(DIGITS.data / 16, dtype=torch.float32)
Y = torch.tensor(DIGITS.target)


def objective(trial: optuna.Trial) -> float:
    """Accuracy on the last 360 digits."""
    run = search.run(trial)  # <-
    torch.manual_seed(run.seed)
    units = trial.suggest_int("units", 16, 256, log=True)
    dropout = nn.Dropout(trial.suggest_float("dropout", 0.0, 0.5))
    model = nn.Sequential(nn.Linear(64, units), nn.ReLU(), dropout, nn.Linear(units, 10))
    optimizer = torch.optim.AdamW(model.parameters(), trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True))
    if run.checkpoint:  # <-
        state = torch.load(run.checkpoint, weights_only=True)  # <-
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
    accuracy = run.value or 0.0  # <-
    for epoch in range(run.step + 1, EPOCHS + 1):  # <-
        model.train()
        for batch in torch.randperm(len(X) - HELD_OUT).split(BATCH):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(X[batch]), Y[batch])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = float((model(X[-HELD_OUT:]).argmax(1) == Y[-HELD_OUT:]).float().mean())
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "random": torch.get_rng_state()}
        torch.save(state, run.file("state.pt"))
        if not run.report(epoch, accuracy, checkpoint=run.file("state.pt"), loss=float(loss)):  # <-
            break
    torch.save(model.state_dict(), run.model / "model.pt")  # kept, if it is one of the best, and exported
    return accuracy
