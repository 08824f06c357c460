"""Schedule-free AdamW as a Keras optimizer. Heavy zone."""

from collections.abc import Callable

from imgcls.backend import keras, tf
from imgcls.optimizers._optimizer import Gradient, Optimizer


class ScheduleFreeAdamW(Optimizer):
    """AdamW in which averaging takes the place of a schedule.

    Each variable has an iterate z, the average x of its iterates, and y between the two, where
    gradients are taken: the model's weights are y. Keras's optimizer of this name recovers x from y
    and z, with rounding errors, gives each step the same weight, and has no way to evaluate at x.

    Args:
        learning_rate: of z; the weight of a step in x is its square.
        beta_1: where y is between z, 0, and x, 1.
        beta_2: decay rate of the second moment, 0..1.
        epsilon: is added to the square root of the second moment.
        weight_decay: decoupled, of y.
    """

    def __init__(
        self,
        learning_rate: float | Callable[[], tf.Tensor],
        beta_1: float,
        beta_2: float,
        epsilon: float,
        weight_decay: float,
    ):
        super().__init__(learning_rate)
        self._beta_1 = beta_1
        self._beta_2 = beta_2
        self._epsilon = epsilon
        self._decay = weight_decay

    def build(self, variables: list[keras.Variable]) -> None:
        """Create z, x and the second moment of each variable, and the sum of squared rates."""
        super().build(variables)
        self._iterates, self._averages, self._velocities = self.add_optimizer_variables(
            variables, ["iterate", "average", "velocity"]
        )
        self._squared_rates = self.add_variable((), dtype=variables[0].dtype, name="squared_rates")
        self.reset_averages()

    def reset_averages(self) -> None:
        """Set z and x to the variables."""
        super().reset_averages()
        self._assign_all(self._iterates, self._trainable_variables)

    def get_averages(self) -> list[keras.Variable]:
        """Return x."""
        return list(self._averages)

    def transform(
        self, gradients: list[tf.Tensor], variables: list[tf.Variable], learning_rate: tf.Tensor
    ) -> list[Gradient]:
        """Return each gradient and the square of the learning rate, without variables' factors."""
        return [(gradient, tf.square(learning_rate)) for gradient in gradients]

    def _distributed_tf_update_step(
        self,
        distribution: tf.distribute.Strategy,
        grads_and_vars: list[tuple[Gradient, tf.Variable]],
        learning_rate: tf.Tensor,
    ) -> None:
        """Add up the squared learning rate, then update each variable."""
        distribution.extended.update(
            self._squared_rates.value,
            lambda total, rate: total.assign_add(tf.square(tf.cast(rate, total.dtype))),
            args=(learning_rate,),
            group=False,
        )
        super()._distributed_tf_update_step(distribution, grads_and_vars, learning_rate)

    def update_step(
        self, gradient: Gradient, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Update a variable with what `transform` returned for it."""
        gradient, squared_rate = gradient
        index, dtype = self._get_variable_index(variable), variable.dtype
        velocity = self._velocities[index].value
        beta_1, beta_2 = tf.constant(self._beta_1, dtype), tf.constant(self._beta_2, dtype)
        velocity.assign(beta_2 * velocity + (1 - beta_2) * tf.square(gradient))
        corrected = velocity / (1 - beta_2 ** tf.cast(self.count_updates(variable) + 1, dtype))
        step = gradient / (tf.sqrt(corrected) + tf.constant(self._epsilon, dtype))
        if self._decay and self.has_decay(variable):
            step += variable * tf.constant(self._decay, dtype)
        iterate, average = self._iterates[index].value, self._averages[index].value
        # The weight is 0 while a warm-up holds the learning rate at 0.
        weight = tf.math.divide_no_nan(
            tf.cast(squared_rate, dtype), tf.convert_to_tensor(self._squared_rates.value)
        )
        new_iterate = iterate - tf.cast(learning_rate, dtype) * step
        new_average = (1 - weight) * average + weight * new_iterate
        iterate.assign(new_iterate)
        average.assign(new_average)
        variable.assign((1 - beta_1) * new_iterate + beta_1 * new_average)
