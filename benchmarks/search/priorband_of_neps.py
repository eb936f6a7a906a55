"""NePS's PriorBand, for ``priorband.py``, whose own environment for NePS runs this file: what to train next.

From standard input first the space, then the loss of what was asked for; each answer is what to train for how many
epochs, and what that goes on from. All in JSON.
"""

from __future__ import annotations

import json
import logging
import random
import sys
from typing import Any

import neps
import numpy as np
import torch


def parameter(one: dict[str, Any]) -> Any:
    """As NePS has it; what is tried first is the prior, of medium confidence."""
    prior = {"prior": one["first"], "prior_confidence": "medium"}
    if "choices" in one:
        return neps.Categorical(choices=one["choices"], **prior | {"prior": one["choices"].index(one["first"])})
    kind = neps.Integer if one["whole"] else neps.Float
    return kind(lower=one["low"], upper=one["high"], log=one["log"], **prior)


def main() -> None:
    logging.disable()
    told = json.loads(sys.stdin.readline())
    random.seed(told["seed"])
    np.random.seed(told["seed"])
    torch.manual_seed(told["seed"])
    searched = {name: parameter(one) for name, one in told["space"].items()}
    epochs = neps.IntegerFidelity(lower=told["least"], upper=told["epochs"])
    space = type("Space", (neps.PipelineSpace,), {**searched, "epochs_of_it": epochs})()
    optimizer = neps.algorithms.priorband(space, sample_prior_first="highest_fidelity")
    search = neps.AskAndTell(optimizer=optimizer)
    while True:
        trial = search.ask()
        params = {name: _plain(value) for name, value in trial.config.items() if name != "epochs_of_it"}
        asked = {"id": trial.metadata.id, "params": params, "epochs": int(trial.config["epochs_of_it"])}
        print(json.dumps({**asked, "goes_on": trial.metadata.previous_trial_id}), flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        search.tell(trial.metadata.id, float(line))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


if __name__ == "__main__":
    main()
