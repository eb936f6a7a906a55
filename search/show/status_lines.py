"""A status as lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.export.numbers import memory_at_most
from search.rules.readable import Foreign, counted, in_its_unit, readable
from search.settings import FIRST_SEARCH
from search.show.words import limits_in_words
from search.studies.limits import Limits


def studies(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a study."""
    if not found:
        return [f"no studies yet. Create one: {FIRST_SEARCH}"]
    rows = [("study", "objective", "size", "state", "trials", "best")]
    for one in found:
        refit = one["refit"]
        state = one["state"] + (f", refit {refit['state']}" if refit else "")
        rows.append((one["study"], one["objective"], one["size"], state, _counts(one), _best(one)))
    return _aligned(rows)


def study(found: Mapping[str, Any]) -> list[str]:
    """One study with its trials, and its refit under it."""
    lines = [
        f"{found['study']}: {found['state']}, objective {found['objective']}"
        + (f", size {found['size']}" if found["size"] else ""),
        f"trials: {_counts(found)}",
        *_epochs(found["epochs"]),
        *_spent(found),
        f"best: {_best(found)}",
    ]
    if found["chosen_params"]:
        lines += [f"trial {found['chosen']}:"] if _is_tie(found) else []
        lines += _parameters(found["chosen_params"], found["units"])
    if found["unused"]:
        lines.append(f"nothing more is to be tried; left of the budget: {counted(found['unused'], 'trial')}")
    if found["ended"]:
        lines.append(f"ended: {found['ended']}")
    else:
        lines += limits_in_words(Limits(**found["limits"]))
    if found["stopped"]:
        lines.append(f"stopped: {found['stopped']}")
    rows: list[tuple[str, ...]] = [("trial", "state", "epoch", "value", "host", "resumed from", "lease", "reason")]
    rows += [_lease(lease) for lease in found["leases"]]
    lines += ["", *map(Foreign, _aligned(rows))] if len(rows) > 1 else []
    if found["refit"]:
        lines += ["", *study(found["refit"])]
    return lines


def trial(found: dict[str, Any]) -> list[str]:
    """One trial: what it is, its reports, the end of its log."""
    host = f", host {found['host']}" if found["host"] else ""
    lines = [f"{found['study']} trial {found['trial']}: {found['state']}, epoch {found['epoch']}{host}"]
    if found["reason"]:
        lines.append(Foreign(f"reason: {found['reason']}"))
    lines += _parameters(found["params"], found["units"])
    lines += [f"  epoch {step}: {readable(value)}" for step, value in found["reports"].items() if value is not None]
    nothing = "nothing" if found["log"] is not None else "no log on this machine, and none is stored"
    log: list[str] = found["log"] or [nothing]
    return [*lines, "", "end of the log:", *map(Foreign, log)]


def _parameters(params: Mapping[str, Any], units: Mapping[str, str]) -> list[str]:
    return [Foreign(f"  {name} = {in_its_unit(value, units.get(name))}") for name, value in params.items()]


def _epochs(epochs: Mapping[str, int]) -> list[str]:
    if not epochs["whole_trial"] and not epochs["run"]:
        return []  # of a plain function that says nothing of its steps
    saved = f"{epochs['saved_by_pruning']} saved by pruning, " if epochs["whole_trial"] else ""
    return [f"epochs: {epochs['run']} run, {saved}{epochs['repeated']} repeated"]


def _spent(found: Mapping[str, Any]) -> list[str]:
    parts = []
    if found["training_share"] is not None:
        parts.append(f"time of trials: {found['seconds']:.0f} s, {found['training_share']:.0%} of it training steps")
    if memory := memory_at_most(found):
        parts.append(memory)
    return ["; ".join(parts)] if parts else []


def _counts(found: Mapping[str, Any]) -> str:
    trials = found["trials"]
    parts = [f"{count} {state}" for state, count in trials.items() if count]
    of = "" if found["limits"].get("endless") else f" of {found['budget']}"
    return f"{', '.join(parts) or 'none begun'}{of}"


def _best(found: Mapping[str, Any]) -> str:
    best = found["best"]
    if not best:
        return "none yet"
    value = "infinite" if best["value"] is None else readable(best["value"])
    tie = f"; chosen: trial {found['chosen']}, as that may well be no better" if _is_tie(found) else ""
    return f"{found['metric']} {value} (trial {best['number']}{tie})"


def _is_tie(found: Mapping[str, Any]) -> bool:
    """Whether another than the best is chosen."""
    return bool(found["best"]["number"] != found["chosen"])


def _lease(lease: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        "…" if lease["trial"] is None else str(lease["trial"]),
        lease["state"],
        str(lease["epoch"]),
        "" if lease["value"] is None else readable(lease["value"]),
        lease["host"] or "",
        ", ".join(map(str, lease["resumed_from"])),
        "" if lease["expires_in"] is None else f"{lease['expires_in']:.0f} s",
        lease["reason"] or "",
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
