"""What one trial trains, and how: all that a search's hyperparameters come to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from objectives.models.architecture import Architecture
from objectives.training.augmentation import Ranges
from objectives.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that one trial trains, and how."""

    data: str
    """The name of a data set: a file in ``objectives/data/``."""
    architecture: Architecture
    recipe: Recipe
    augmentation: Ranges
    batch: int | None = None
    """Images; None: the size's."""
    source: Path | None = None
    """A folder that an earlier training left, whose weights (all but the head's) this one begins with."""
    progressive_resizing: float = 0.0
    """For so much of the epochs the images are three quarters as high and wide, and there are as many more of them as
    that takes of the time."""
    freeze: int = 0
    """So many blocks from the input keep the source's weights."""
