"""What several of these lines say in the same words. Reads without Optuna."""

from __future__ import annotations

from search.studies.limits import Limits


def duration(seconds: float) -> str:
    """``40 s``, ``25 min``, ``3.5 h``, ``2.1 days``."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 3600:.1f} h" if seconds < 86400 else f"{seconds / 86400:.1f} days"


def limits_in_words(limits: Limits) -> list[str]:
    """In the words of who set them."""
    lines = []
    if limits.hours is not None:
        more = ", however many trials that is" if limits.endless else ""
        lines.append(f"It ends after HOURS={limits.hours:g} of training, all machines together{more}.")
    if limits.until is not None:
        lines.append(f"It ends when a trial is complete with {limits.until:g} or better.")
    if limits.trial_timeout is not None:
        lines.append(f"A trial that takes longer than {duration(limits.trial_timeout)} is pruned.")
    lines += [
        f"Networks of more than {most:,.0f} {name} are turned down." for name, most in limits.of_the_network.items()
    ]
    return lines
