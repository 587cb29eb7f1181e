"""AdamW for kernels with masks, fixed or changing."""

from __future__ import annotations

from tost_tf.compat import keras
from tost_tf.compat.optimizers import variable_index
from tost_tf.training.masked_optimizer import MaskedOptimizer


@keras.utils.register_keras_serializable("tost_tf")
class AdamW(MaskedOptimizer, keras.optimizers.AdamW):
    """Keras's AdamW (Loshchilov and Hutter 2019), which can also keep the gradients by which weights grow.

    A pruned weight is zero and its gradient is zero: so are both its moments, its step and its decay.
    """

    def slots_of(self, variable):
        index = variable_index(self, variable)
        largest = [self._velocity_hats] if self.amsgrad else []
        return [moments[index] for moments in (self._momentums, self._velocities, *largest)]

    def step(self, gradient, variable):
        keras.optimizers.AdamW.update_step(self, gradient, variable)
