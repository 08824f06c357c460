"""SGD with L2 regularization. Heavy zone."""

from imgcls.backend import keras, tf
from imgcls.optimizers._optimizer import Optimizer


class RegularizedSGD(Optimizer, keras.optimizers.SGD):
    """SGD whose gradients include those of an L2 penalty on the kernels.

    Attributes:
        l2: the gradient of the penalty is this times the kernel.
    """

    l2 = 0.0

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Update a variable and its momentum."""
        # Keras would round the coefficient of the momentum to float32.
        momentum = tf.constant(self.momentum, variable.dtype)
        if self.l2 and self.has_decay(variable):
            gradient = gradient + variable * tf.constant(self.l2, variable.dtype)
        step = gradient * tf.cast(learning_rate, variable.dtype)
        if not self.momentum:
            variable.assign_sub(step)
            return
        velocity = self.momentums[self._get_variable_index(variable)].value
        velocity.assign(velocity * momentum - step)
        variable.assign_add(velocity * momentum - step if self.nesterov else velocity)
