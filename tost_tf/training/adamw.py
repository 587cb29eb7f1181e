"""AdamW for kernels with masks, fixed ones and such that change."""

from __future__ import annotations

from tost_tf.compat import keras, variable_index
from tost_tf.training.masked_optimizer import MaskedOptimizer


@keras.utils.register_keras_serializable("tost_tf")
class AdamW(MaskedOptimizer, keras.optimizers.AdamW):
    """Keras's AdamW (Loshchilov and Hutter 2019), which also keeps gradients by which weights grow.

    A pruned weight is zero and has no gradient: both its moments stay zero, its step and its decay are zero too.
    """

    def slots_of(self, variable):
        index = variable_index(self, variable)
        return [moments[index] for moments in (self._momentums, self._velocities)]

    def step(self, gradient, variable):
        keras.optimizers.AdamW.update_step(self, gradient, variable)
