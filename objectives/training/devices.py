"""What of the machine a child may use. The only function of the objectives that knows TensorFlow."""

from __future__ import annotations

import keras

from search.contract import Devices


def prepare(devices: Devices) -> None:
    """Gives TensorFlow its threads and lets GPU memory grow as needed. The GPUs come by CUDA_VISIBLE_DEVICES.

    A process can do this only before its first computation; a warm child's later trials find it done.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf  # noqa: PLC0415

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
