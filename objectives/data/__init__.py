"""Images, their train/validation cut and their batches. The test part is a file that nothing here opens unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from objectives.data.dataset import Dataset
from objectives.data.normalise import statistics
from objectives.data.sources import describe, load
from objectives.data.split import Cut, cut

if TYPE_CHECKING:
    from objectives.data.batches import Batches

__all__ = ["Batches", "Cut", "Dataset", "cut", "describe", "load", "statistics"]


def __getattr__(name: str) -> Any:
    """Import Keras when batches are wanted, not when a study's data are only described: it takes five seconds."""
    if name == "Batches":
        from objectives.data.batches import Batches  # noqa: PLC0415

        return Batches
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
