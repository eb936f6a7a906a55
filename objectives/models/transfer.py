"""Go on from a trained network: load everything but the head by name, freeze blocks by name.

A new head needs no surgery: build the network for the target's classes, then ``load``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

HEAD = "head"


def groups(network: keras.Model) -> tuple[str, ...]:
    """The blocks with weights, in order: ``stem``, ``block1`` ..., ``neck``, ``head``."""
    return tuple(dict.fromkeys(_group(layer) for layer in network.layers if layer.weights))


def freeze(network: keras.Model, until: str) -> None:
    """Freeze all blocks up to and including ``until``; ``"none"`` freezes nothing. Compile afterwards.

    A frozen batch normalisation also stops learning its statistics, and uses those that it has.
    """
    names = groups(network)
    if until != "none" and until not in names[:-1]:
        raise ValueError(f"cannot freeze up to {until!r}: there are none, {', '.join(names[:-1])}")
    frozen = () if until == "none" else names[: names.index(until) + 1]
    for layer in network.layers:
        layer.trainable = _group(layer) not in frozen


def load(network: keras.Model, source: Path) -> None:
    """Set all weights but the head's from the ``.keras`` file ``source``, a network or the exported model around one.

    Raises ValueError, and changes nothing, unless both networks have the same layers and shapes in all but the head.
    """
    model = keras.models.load_model(source, compile=False)
    found = _weights(next((layer for layer in model.layers if layer.name == network.name), model))
    wanted = _weights(network)
    if found.keys() != wanted.keys():
        differ = sorted(found.keys() ^ wanted.keys())
        raise ValueError(f"{source} holds another network: {', '.join(differ[:5])} are in one of the two only")
    for name, weights in wanted.items():
        shapes = [w.shape for w in weights], [w.shape for w in found[name]]
        if shapes[0] != shapes[1]:
            raise ValueError(f"{source} holds another network: {name} has shapes {shapes[1]} instead of {shapes[0]}")
    for name in wanted:
        network.get_layer(name).set_weights(found[name])
    changed = [
        n for n, w in _weights(network).items() if not all((a == b).all() for a, b in zip(w, found[n], strict=True))
    ]
    if changed:
        raise ValueError(f"{', '.join(changed)} did not take over the weights of {source}")


def _weights(network: keras.Model) -> dict[str, list[Any]]:
    return {layer.name: layer.get_weights() for layer in network.layers if layer.weights and layer.name != HEAD}


def _group(layer: keras.layers.Layer) -> str:
    return str(layer.name).split("_", maxsplit=1)[0]
