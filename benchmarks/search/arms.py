"""What else the seconds of a search buy: one arm of one pair of ``pays.py``, in a process of its own.

    python -m benchmarks.search.arms SEARCH ARM PAIR [--epochs N] [--until TIME] …

Its answer, as JSON, is the last line of its output.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from benchmarks.context import BenchmarkContext
from benchmarks.search.searches import SEARCHES
from search.child.hardware import cores
from search.contract import Devices, Objective, parameters, seed_for
from search.rules.pruning import rungs_before_the_end


def one(given: argparse.Namespace) -> dict[str, Any]:
    """What this process is asked for: parameters that plain Optuna finds, or a training and its score."""
    module = importlib.import_module(f"objectives.{SEARCHES[given.search].objective}")
    declared: Objective = module.OBJECTIVE
    if given.until is not None:
        return search_plainly(declared, given)
    hp = json.loads(given.hp) if given.hp else point(declared, given)
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        return train(module, hp, seed_for(given.pair, given.arm), folder, given)


def point(declared: Objective, given: argparse.Namespace) -> dict[str, Any]:
    """The one that is named, else the objective's own first."""
    return declared.tried_first([given.point] if given.point else [])[0]


def search_plainly(declared: Objective, given: argparse.Namespace) -> dict[str, Any]:
    """The best that there is by a time, in seconds since 1970: the same point first, the same rungs."""
    os.environ["SEARCH_DATA_DIR"] = str(given.data_dir)
    size = SEARCHES[given.search].size(declared)
    seed, rungs = seed_for(given.pair, given.arm), rungs_before_the_end(size)
    sampler: BaseSampler = RandomSampler(seed=seed) if given.arm == "random" else TPESampler(seed=seed)
    pruner: BasePruner = NopPruner()
    if given.arm == "optuna" and rungs:
        pruner = SuccessiveHalvingPruner(min_resource=rungs[0], reduction_factor=3)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    study.enqueue_trial(point(declared, given))
    study.optimize(lambda trial: declared.under_optuna(trial, size), timeout=given.until - time.time())
    hp = parameters(declared.suggest(optuna.trial.FixedTrial(study.best_params)))
    return {"hp": hp, "curves": curves(study)}


def curves(study: optuna.Study) -> list[dict[str, Any]]:
    """What each of its trials was and reported."""
    return [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "params": json.dumps(trial.params),
            "values": " ".join(f"{100 * value:.2f}" for _, value in sorted(trial.intermediate_values.items())),
        }
        for trial in study.trials
    ]


def train(module: Any, hp: Mapping[str, Any], seed: int, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """As a refit; scored on the test part."""
    size = replace(SEARCHES[given.search].size(module.OBJECTIVE), refit_epochs=given.epochs)
    lent = {"devices": Devices(cores()), "seed": seed, "refit": True, "source": given.source}
    folder.mkdir(parents=True, exist_ok=True)
    context = BenchmarkContext(folder, given.data_dir, size, **lent)
    module.OBJECTIVE.train(module.Hyperparameters(**hp), context)
    an_epoch = statistics.median(one["training_seconds"] for one in context.reports.values())
    scores = module.OBJECTIVE.evaluate(folder / "model", given.data_dir, "test")
    return {"accuracy": scores["accuracy"], "found": hp, "an_epoch": f"{an_epoch:.3f}"}


def main() -> None:
    """Says what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("search", choices=list(SEARCHES))
    parser.add_argument("arm")
    parser.add_argument("pair", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--until", type=float)
    parser.add_argument("--point")
    parser.add_argument("--hp")
    parser.add_argument("--source", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    print(json.dumps(one(parser.parse_args())))


if __name__ == "__main__":
    main()
