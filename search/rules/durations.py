"""How long things take that are yet to come, in seconds."""

from __future__ import annotations

TO_LOAD, OF_A_TRIAL = 20.0, 5.0
"""To load Keras once; to build and trace a network for each trial."""
ALONE = 0.87
"""What one training on all cores does of what a training on each does together; .83 to .98 in benchmarks/train.csv."""
MARGIN = 1.1
REFIT_AT_MOST = 3
"""Times the epochs that a size says, where there is time."""


def seconds_of_refit(images: int, rate: float, *, children: int) -> float:
    """Of so many images, epochs together, where each of ``children`` does ``rate`` images a second of training."""
    return TO_LOAD + OF_A_TRIAL + MARGIN * images / (rate * children * (ALONE if children > 1 else 1.0))
