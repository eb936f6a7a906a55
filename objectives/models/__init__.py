"""Networks as plain functions, ``build(shape, classes, *, width, ...) -> keras.Model``, and what is done with them.

Every network takes normalised float images and ends in float32 softmax probabilities. Its layers are named by block,
``stem_*``, ``block1_*`` ..., ``neck_*``, ``head``, so that transfer can freeze and load by name.
"""
