"""What an image classifier leaves and how a report shows it: the rooms that make a thing declare it, here they meet."""

from __future__ import annotations

from collections.abc import Mapping

from objectives.training import metrics, metrics_by_class, model_folder, pictures, recipe
from search.contract import Shown


def shown(*, references: Mapping[str, float] | None = None, then: str | None = None) -> Shown:
    """``references`` are accuracies by the name a reader knows them under; ``then`` goes on from this one's model."""
    return Shown(
        numbers=metrics.NUMBERS,
        tables=metrics_by_class.TABLES,
        pictures=pictures.PICTURES,
        attached=model_folder.ATTACHED,
        private=model_folder.PRIVATE,
        model=model_folder.MODEL,
        usage=model_folder.USAGE,
        training=model_folder.TRAINING,
        trained_on="train_images",
        units=recipe.UNITS,
        examples="images",
        training_value="accuracy on the training images",
        references=references or {},
        then=then,
    )
