"""Names of layers that Keras 3 takes."""

from __future__ import annotations

import itertools

from tost_tf.compat import keras


class LegalNames:
    """The names of a tf_keras model's layers without `/`, which Keras 3 has in no name.

    Args:
      model: whose names, and those of its nested models, stay free for the layers that have them.
    """

    def __init__(self, model: keras.Model):
        self._taken = {layer.name for layer in model.submodules if isinstance(layer, keras.layers.Layer)}

    def of(self, name: str) -> str:
        """`name` itself, or if it has a `/`, another name that no layer has: a new one at each call."""
        if "/" not in name:
            return name
        legal = name.replace("/", "_")
        numbered = (f"{legal}_{number}" for number in itertools.count(1))
        free = next(new for new in itertools.chain([legal], numbered) if new not in self._taken)
        self._taken.add(free)
        return free
