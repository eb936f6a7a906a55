"""Batch normalisation as one operation where Keras takes a dozen, each of which walks over all activations.

Keras normalises in float32 whatever it is given. TensorFlow's own operation reads and writes bfloat16, computes its
statistics in float32 all the same, and is the one that Keras 2 used. What that makes of a training step stands in
``benchmarks/train.csv``, where ``bare`` has Keras's own.
"""

from __future__ import annotations

from typing import Any

import keras

from objectives.models.tensorflow_if_there import tensorflow


class BatchNorm(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras's layer, weight by weight; images (b, h, w, c) are normalised by TensorFlow's operation, if it is there.

    Of what Keras's layer can be given it takes what is used here.

    The moving variance takes up variances of samples, a few thousandths larger than Keras's, as Keras 2 and PyTorch.
    ``deploy.exported`` puts Keras's own layer in its place.
    """

    def __init__(self, *, momentum: float, name: str) -> None:
        super().__init__(momentum=momentum, name=name)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        tf = tensorflow()
        if tf is None or mask is not None or len(inputs.shape) != 4:
            return super().call(inputs, training=training, mask=mask)
        learns = bool(training and self.trainable)
        normalised, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            self.gamma,
            self.beta,
            mean=None if learns else self.moving_mean,
            variance=None if learns else self.moving_variance,
            epsilon=self.epsilon,
            is_training=learns,
        )
        if learns:
            for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + now * (1.0 - self.momentum))
        return normalised
