"""Images, their train/validation cut and their batches. Nothing here knows of networks or trainings.

A file with ``load`` and ``check_test`` is a data set, found by its name: ``digits.py`` is the shortest. The test part
is a file that nothing opens unasked.
"""

from __future__ import annotations

from objectives.data.dataset import Dataset, load
from objectives.data.identity import identity, test_checksum
from objectives.data.normalise import statistics
from objectives.data.split import Cut, cut

__all__ = ["Cut", "Dataset", "cut", "identity", "load", "statistics", "test_checksum"]
