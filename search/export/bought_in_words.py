"""What a search bought, in sentences: for the report, and for the last lines of a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.rules.readable import counted, readable

Bought = Mapping[str, Any]
"""As ``bought.py`` has it."""


def sentences(found: Bought) -> list[str]:
    """Each a line: what was found, how sure that is, and what pruning saved and may have cost."""
    return [*_lead(found), *_others(found), *_pruning(found)]


def amount(found: Bought, value: float) -> str:
    """``+1.20 points`` for shares, ``+0.0120`` for what has no unit."""
    return f"{100 * value:+.2f} points" if found["in_points"] else f"{'+' if value >= 0 else ''}{readable(value)}"


def _lead(found: Bought) -> list[str]:
    if found["verdict"] == "nothing to compare":
        return []
    if found["verdict"] == "no first":
        return [f"what the search bought is unknown: {found['first_is']} is not complete, or is turned down"]
    if found["verdict"] == "first":
        return [f"the search found nothing better than {found['first_is']}, trial {found['first']}"]
    whole = found["epochs"]["whole_trial"]
    trained = f", in trials of {counted(whole, 'epoch')}" if whole else ""
    lead = f"{amount(found, found['lead'])} over {found['first_is']}, trial {found['first']}{trained}"
    if found["verdict"] == "unknown":
        return [f"the search bought {lead}; how much of it is chance is unknown{_why_unknown(found)}"]
    low, high = (amount(found, value) for value in found["interval"])
    interval = f"95 % interval {low} to {high}, as the best of {found['competed']}"
    if found["verdict"] == "better":
        return [f"the search bought {lead} ({interval})"]
    return [f"the search bought nothing that is certain not to be chance: {lead} ({interval})"]


def _why_unknown(found: Bought) -> str:
    if not found["in_points"] or found["validated_on"]:
        return ""
    return ", as the objective's `data` does not say how many examples are validated on"


def _others(found: Bought) -> list[str]:
    if found["within_noise"] is None or found["complete"] < 2:
        return []
    noise = amount(found, found["noise"]).lstrip("+")
    return [
        f"{found['within_noise']} of {found['complete'] - 1} other complete trials may well be as good as the best: "
        f"from one training to the next a value's standard deviation is reckoned as {noise}, by "
        f"{found['validated_on']:,} examples and the training's seed"
    ]


def _pruning(found: Bought) -> list[str]:
    epochs, spared, of_all = found["epochs"], found["spared"], found["spared_of_all"]
    saved = f", {epochs['saved_by_pruning']} saved by pruning" if epochs["whole_trial"] else ""
    lines = [f"epochs: {epochs['run']} run{saved}"] if epochs["run"] else []
    if spared["trials"]:
        lines.append(
            f"run to their end against the pruner, for {counted(spared['epochs'], 'epoch')}: {_among_the_best(spared)}"
        )
    elif epochs["saved_by_pruning"]:
        lines.append("what that may have cost is unknown: no trial was run to its end against the pruner")
    if of_all["studies"] > 1 and of_all["rate"] is not None:
        alike = f"{of_all['studies']} studies of this objective with trials as long"
        lines.append(f"run to their end against the pruner in {alike}: {_among_the_best(of_all)}")
    return lines


def _among_the_best(counts: Bought) -> str:
    many = f"{counts['trials']} trial{'s' if counts['trials'] > 1 else ''}"
    if counts["among_the_best"] is None:
        return f"{many}; how many are among the best is unknown, as noise is"
    rate = "too few to say how often" if counts["rate"] is None else f"{counts['rate']:.0%}"
    return f"{many}, of which {counts['among_the_best']} ended among the best, {rate}"
