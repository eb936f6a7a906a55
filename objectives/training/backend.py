"""What training leaves to Keras's backend: threads, GPU memory, how batches come in."""

from __future__ import annotations

from typing import Any

import keras

from objectives.models.tensorflow_if_there import tensorflow
from search.contract import Devices

PREFETCH = 2
"""Batches that are made while one is trained on."""


def prepare(devices: Devices) -> None:
    """Gives TensorFlow its threads and lets GPU memory grow as needed. The GPUs come by CUDA_VISIBLE_DEVICES.

    A process can do this only before its first computation; a warm child's later trials find it done.
    """
    tf = tensorflow()
    if tf is None:
        return
    threading = tf.config.threading
    if threading.get_intra_op_parallelism_threads() == devices.cores:
        return
    try:
        threading.set_intra_op_parallelism_threads(devices.cores)
        # A second operation side by side helps these small networks, but never beyond the cores that are ours.
        threading.set_inter_op_parallelism_threads(min(2, devices.cores))
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        print(f"TensorFlow was already running when {devices.cores} cores were to be set: it keeps its threads")


def as_dataset(batches: keras.utils.PyDataset) -> Any:
    """These batches, for ``fit``: on TensorFlow as its data set without autotuning.

    Keras makes one with it. When its iterator is dropped at the end of an epoch, that waits until the tuner's thread
    wakes, which sleeps twice as long after each round: whole seconds without a step, more the longer an epoch takes.
    """
    tf = tensorflow()
    if tf is None:
        return batches
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_generator(
        lambda: (batches[index] for index in range(batches.num_batches)),
        output_signature=tuple(tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in batches[0]),
    )
    counted = dataset.apply(tf.data.experimental.assert_cardinality(batches.num_batches))
    return counted.prefetch(PREFETCH).with_options(options)
