"""Lion as a Keras optimizer. Heavy zone."""

from imgcls.backend import keras, tf
from imgcls.optimizers._optimizer import Optimizer


class Lion(Optimizer, keras.optimizers.Lion):
    """Lion with weight decay in its update."""

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Update a variable and its momentum."""
        dtype, momentum = variable.dtype, self._momentums[self._get_variable_index(variable)].value
        beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        update = tf.sign(beta_1 * momentum + (1 - beta_1) * gradient)
        if self.weight_decay and self.has_decay(variable):
            update += variable * tf.constant(self.weight_decay, dtype)
        variable.assign_sub(tf.cast(learning_rate, dtype) * update)
        momentum.assign(beta_2 * momentum + (1 - beta_2) * gradient)
