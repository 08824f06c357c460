"""Muon as a Keras optimizer. Heavy zone."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from imgcls.backend import keras, tf
from imgcls.errors import UserError
from imgcls.optimizers._newton_schulz import orthogonalize
from imgcls.optimizers._optimizer import Gradient, Optimizer


class Muon(Optimizer):
    """Momentum whose matrices are orthogonalized, and a companion for all other variables.

    Args:
        learning_rate: of the matrices.
        companion: an unbuilt optimizer, whose own learning rate is not used.
        companion_ratio: its learning rate as a multiple of this optimizer's.
        momentum: coefficient of Nesterov momentum, 0..1.
        steps: number of Newton-Schulz iterations.
        weight_decay: of the matrices, decoupled.
    """

    def __init__(
        self,
        learning_rate: float | Callable[[], tf.Tensor],
        companion: Optimizer,
        companion_ratio: float,
        momentum: float,
        steps: int,
        weight_decay: float,
    ):
        super().__init__(learning_rate)
        self.companion = companion
        self._companion_ratio = companion_ratio
        self._momentum = momentum
        self._steps = steps
        self._decay = weight_decay

    def build(self, variables: list[keras.Variable]) -> None:
        """Create a momentum for each matrix, and the companion's variables for the others.

        Raises:
            UserError: there is no matrix.
        """
        super().build(variables)
        is_matrix = find_matrices(variables)
        if not any(is_matrix):
            raise UserError(
                "train.optimizer muon trains the kernels between the first and the last layer, but"
                " the model has none; add layers, or use sgd or adamw"
            )
        self._matrices = {
            self._var_key(variable)
            for variable, found in zip(variables, is_matrix, strict=True)
            if found
        }
        matrices = [each for each in variables if self._is_matrix(each)]
        momenta = self.add_optimizer_variables(matrices, "momentum")
        self._momenta = {
            self._var_key(variable): momentum
            for variable, momentum in zip(matrices, momenta, strict=True)
        }
        self.companion.build([each for each in variables if not self._is_matrix(each)])
        self.companion.count_steps_of(self)

    def set_first_steps(self, variables: Sequence[keras.Variable], steps: Sequence[int]) -> None:
        """Set them for the companion, too."""
        super().set_first_steps(variables, steps)
        self.companion.set_first_steps(variables, steps)

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables of this optimizer and its companion."""
        return [*super().variables, *self.companion.variables]

    def _is_matrix(self, variable: Any) -> bool:
        return self._var_key(variable) in self._matrices

    def transform(
        self, gradients: list[tf.Tensor], variables: list[tf.Variable], learning_rate: tf.Tensor
    ) -> list[Gradient]:
        """Return new momentum and direction of each matrix; other gradients stay as they are."""
        transformed: list[Gradient] = list(gradients)
        indices = [i for i, variable in enumerate(variables) if self._is_matrix(variable)]
        momenta, matrices = [], []
        for i in indices:
            momentum = self._momenta[self._var_key(variables[i])]
            momenta.append(momentum * self._momentum + gradients[i])
            nesterov = momenta[-1] * self._momentum + gradients[i]
            matrices.append(tf.reshape(nesterov, [-1, nesterov.shape[-1]]))
        for i, momentum, direction in zip(
            indices, momenta, orthogonalize(matrices, self._steps), strict=True
        ):
            transformed[i] = momentum, direction
        return transformed

    def update_step(
        self, gradient: Gradient, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Update a variable with what `transform` returned for it."""
        learning_rate = tf.cast(learning_rate, variable.dtype)
        if not self._is_matrix(variable):
            self.companion.update_step(gradient, variable, learning_rate * self._companion_ratio)
            return
        momentum, direction = gradient
        self.assign(self._momenta[self._var_key(variable)], momentum)
        inputs, outputs = direction.shape
        step = tf.reshape(direction, variable.shape) * math.sqrt(max(1.0, outputs / inputs))
        if self._decay:
            step += variable * tf.constant(self._decay, variable.dtype)
        variable.assign_sub(learning_rate * step)


def find_matrices(variables: list[keras.Variable]) -> list[bool]:
    """Return which of a model's variables, in its order, Muon orthogonalizes.

    These are the kernels of its hidden layers, as (height * width * inputs, outputs), since the
    first and the last layer learn better with another optimizer (Jordan, 2024). The kernel of a
    depthwise convolution, (height, width, channels, 1), is left out: it would be one column.
    """
    kernels = [i for i, variable in enumerate(variables) if len(variable.shape) > 1]
    hidden = {i for i in kernels[1:-1] if variables[i].shape[-1] > 1}
    return [i in hidden for i in range(len(variables))]
