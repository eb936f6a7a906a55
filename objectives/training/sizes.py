"""What a study of each size costs. An objective says with ``replace`` what is its own: width, refit epochs, speed.

Rungs that lie behind a trial's last epoch are for who asks for more epochs.

A size is copied into a study when it is created: who changes one here changes new studies only.
"""

from __future__ import annotations

from search.contract import Size

QUICK = Size(budget=4, patience=3, epochs=2, rungs=(1, 3, 9), minutes=12)
"""A few trials that see every image once or twice, and more as long as they find something. For two CPU cores."""
PART = Size(budget=10, epochs=5, rungs=(2, 6, 18), train_images=10_000, validation_images=2_000, minutes=15)
"""A search on a part of the training images, for two CPU cores."""
HOUR = Size(budget=6, patience=3, epochs=3, rungs=(1, 3, 9), refit_epochs=12, minutes=55)
"""On two fast CPU cores a fifth of the time for the search, the rest for a network of a size that is worth keeping."""
FULL = Size(budget=100, epochs=30, rungs=(3, 9, 27), refit_epochs=30)
"""A search on every training image that is not a validation image. Other ``epochs`` want other ``refit_epochs``."""
