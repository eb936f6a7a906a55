"""How long a training may say nothing before it is taken for hung."""

from __future__ import annotations

import math

from search.settings import Settings


def silence_allowed(settings: Settings, longest_epoch: float, *, plain: bool) -> float:
    """Seconds. A plain function may say nothing until its end; a training, several times its longest epoch."""
    limit = settings.silence or (math.inf if plain else settings.silence_at_most)
    return max(limit, settings.silent_epochs * longest_epoch)
