"""Networks, and what is done with them. Keras enters here, and TensorFlow if Keras computes with it.

A file with ``build(shape, classes, *, width, ...) -> keras.Model`` is a network, found by its name. Every network
takes normalised float images and ends in float32 softmax probabilities. Its layers are named by block, ``stem_*``,
``block1_*`` ..., ``neck_*``, ``head``, so that transfer can freeze and load by name.
"""
