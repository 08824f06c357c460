"""LAMB as a Keras optimizer. Heavy zone."""

from imgcls.backend import keras, tf
from imgcls.optimizers._optimizer import Optimizer


class Lamb(Optimizer, keras.optimizers.Lamb):
    """LAMB whose weight decay is part of the update that is scaled, as in the paper.

    Keras's decays weights apart from it, and scales the updates of biases too.
    """

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Update a variable and its two moments."""
        index, dtype = self._get_variable_index(variable), variable.dtype
        first, second = self._momentums[index].value, self._velocities[index].value
        beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        step = tf.cast(self.count_updates(variable) + 1, dtype)
        first.assign(beta_1 * first + (1 - beta_1) * gradient)
        second.assign(beta_2 * second + (1 - beta_2) * tf.square(gradient))
        root = tf.sqrt(second / (1 - beta_2**step)) + tf.constant(self.epsilon, dtype)
        update = first / (1 - beta_1**step) / root
        ratio = tf.constant(1.0, dtype)
        if self.has_decay(variable):
            update += variable * tf.constant(self.weight_decay, dtype)
            norm, update_norm = tf.norm(tf.convert_to_tensor(variable)), tf.norm(update)
            # A kernel of zeros could never grow, and 0/0 is NaN.
            both = (norm > 0) & (update_norm > 0)
            ratio = tf.where(both, norm / tf.where(both, update_norm, ratio), ratio)
        variable.assign_sub(tf.cast(learning_rate, dtype) * ratio * update)
