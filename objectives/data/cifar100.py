"""CIFAR-100: 60,000 photographs of a hundred kinds of things in twenty superclasses, a sixth of them the test part."""

from __future__ import annotations

from pathlib import Path

from objectives.data import cifar
from objectives.data.cifar import Layout
from objectives.data.dataset import Dataset, Part
from objectives.data.download import find_or_download

# fmt: off
SUPERCLASS = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10,
    12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16,
    12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14,
    13,
)
"""The superclass of each fine class: every file is checked against it."""
FINE_NAMES = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
    "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin "
    "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster "
    "man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck "
    "pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk "
    "skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger "
    "tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
COARSE_NAMES = (
    "aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices "
    "household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes "
    "large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees "
    "vehicles_1 vehicles_2"
)
# fmt: on

LAYOUT = Layout(
    name="cifar100",
    title="CIFAR-100",
    folder="cifar-100-binary",
    train=("train.bin",),
    test=("test.bin",),
    names_file="fine_label_names.txt",
    class_names=tuple(FINE_NAMES.split()),
    coarse_file="coarse_label_names.txt",
    coarse_names=tuple(COARSE_NAMES.split()),
    superclass_of=SUPERCLASS,
    archive="cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
)


def load(data_dir: Path, part: Part) -> Dataset:
    """Images uint8 (n, 32, 32, 3), in memory-mapped files."""
    find_or_download(LAYOUT, data_dir)
    return cifar.read(LAYOUT, data_dir, part)


def check_test(data_dir: Path) -> None:
    """By the file's size."""
    cifar.refuse_torn_test(LAYOUT, data_dir)
