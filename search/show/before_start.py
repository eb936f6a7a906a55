"""What a search is about to do: what its size means, how long it takes here, what to type next."""

from __future__ import annotations

import dataclasses

from search.contract import Size, size_from_json
from search.rules.durations import REFIT_AT_MOST
from search.rules.readable import counted
from search.show.time_left import estimate
from search.show.words import duration, limits_in_words
from search.studies.limits import Limits
from search.studies.patience import most_trials
from search.studies.study import Study


def introduction(study: Study, budget: int, limits: Limits, cores: int, gpus: bool) -> list[str]:
    """What the size means, how long it takes here, what to type for the real thing, how to watch."""
    if study.is_plain:
        trials = "" if limits.endless else f"{counted(budget, 'trial')} of "
        return [f"{study.name}: {trials}{study.objective}", *limits_in_words(limits)]
    sizes = {name: size_from_json(data) for name, data in study.definition["sizes"].items()}
    sizes[study.size_name] = dataclasses.replace(study.size, budget=budget)
    examples = study.shown.examples
    head = f"{'size':8}{'trials':>9}{'epochs':>8}{examples:>9}{'refit epochs':>14}{f'refit {examples}':>15}  here"
    lines = [f"study {study.name}, objective {study.objective}, size {study.size_name}", "", head]
    for name, size in sizes.items():
        guess = size.images_per_second and not gpus
        here = f"about {duration(estimate(size, study, cores))}" if guess else "measured once it runs"
        declared, its = (study.size, limits) if name == study.size_name else (size, Limits())
        most = most_trials(declared, its)
        trials = f"{size.budget} to {most}" if most and most > size.budget else str(size.budget)
        lines.append(_size_line(name, size, study, "" if its.endless else trials, "" if its.endless else here))
    lines += _precision(study)
    lines += ["", *words] if (words := limits_in_words(limits)) else []
    larger = "hour" if "hour" in sizes and not gpus else "full"
    if study.size_name not in {larger, "full"} and larger in sizes and not study.definition.get("source"):
        # With a source, that would be too narrow.
        real = f"make search STUDY={study.name}_{larger} OBJECTIVE={study.objective} SIZE={larger}"
        lines += ["", f"For the real thing: {real}"]
    return [
        *lines,
        f"Watch: make dashboard, or make status STUDY={study.name}. Ctrl-C hands over; the same command goes on.",
        "",
    ]


def _precision(study: Study) -> list[str]:
    """Where it is not float32, or was not to be."""
    if study.size.precision != "float32":
        return ["", f"It computes in {study.size.precision}; its models are given away in float32."]
    wanted = size_from_json(study.definition["sizes"][study.size_name]).precision
    return ["", f"It computes in float32: there was no {wanted} where it was created."] if wanted != "float32" else []


def _size_line(name: str, size: Size, study: Study, trials: str, here: str) -> str:
    train, refit = study.images(size)
    stretched = f" to {REFIT_AT_MOST * size.refit_epochs}" if size.minutes and size.budget and trials else ""
    again = f"{size.refit_epochs}{stretched}"
    return f"{name:8}{trials:>9}{size.epochs:>8}{train:>9,}{again:>14}{refit:>15,}  {here}".rstrip()
