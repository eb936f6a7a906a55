"""How long is waited: for a silent training, for the end of an epoch, for those that were told to stop."""

from __future__ import annotations

import math

from search.settings import Settings


def silence_allowed(settings: Settings, longest_epoch: float, *, plain: bool) -> float:
    """Seconds. A plain function may say nothing until its end; a training, several times its longest epoch."""
    limit = settings.silence or (math.inf if plain else settings.silence_at_most)
    return max(limit, settings.silent_epochs * longest_epoch)


def ends_its_epoch(settings: Settings, left: float) -> bool:
    """Whether a training that is to be handed over ends the epoch, of which ``left`` seconds are left, or the batch."""
    return left <= settings.grace


def is_late(settings: Settings, seconds: float) -> bool:
    """Whether who was told to stop so long ago is waited for no longer."""
    return seconds > settings.graces * settings.grace
