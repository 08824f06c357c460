"""What all optimizers do around their formulas. Heavy zone."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from imgcls.backend import keras, tf

Gradient = Any
"""What `transform` makes of a gradient: a tensor, or a tuple of tensors."""


class Optimizer(keras.optimizers.Optimizer):
    """A Keras optimizer whose step is the same on one and on several devices.

    Keras clips each replica's gradients, and decays weights in a pass of its own, before it adds
    up the gradients of the replicas. Here,

    1. the gradients are added up,
    2. clipped by their global norm, if `global_clipnorm` is set (Pascanu et al., 2013, algorithm
       1),
    3. transformed, all together, if an optimizer needs that, and
    4. `update_step` updates each variable: it gets the learning rate of the variable, and applies
       its weight decay too, by `has_decay`.

    Subclasses derive from this class first, and then from one of Keras's optimizers if they change
    that one.
    """

    _learning_rate_factors: Mapping[int, float] = MappingProxyType({})
    _first_steps: Mapping[str, int] = MappingProxyType({})
    _step_counter: "Optimizer | None" = None

    def set_learning_rate_factors(self, factors: Mapping[int, float]) -> None:
        """Set factors on the learning rates of some variables, and so on their decoupled decay.

        Args:
            factors: by index in the list of variables that the optimizer was built with.
        """
        self._learning_rate_factors = dict(factors)

    def set_first_steps(self, variables: Sequence[keras.Variable], steps: Sequence[int]) -> None:
        """Say after how many steps each variable is first updated, since it is frozen before."""
        self._first_steps = {
            self._var_key(variable): step
            for variable, step in zip(variables, steps, strict=True)
            if step
        }

    def count_updates(self, variable: tf.Variable) -> tf.Tensor:
        """Return how often a variable was updated before, int64 scalar, for a bias correction.

        Steps that a loss scale skips while it is frozen may delay it.
        """
        first = self._first_steps.get(self._var_key(variable), 0)
        return tf.maximum(self.iterations - first, 0) if first else self.iterations

    def count_steps_of(self, other: "Optimizer") -> None:
        """Take the number of steps from an optimizer that calls this one's `update_step`."""
        self._step_counter = other

    @property
    def iterations(self) -> tf.Tensor:
        """The number of steps so far."""
        counter = self._step_counter
        return super().iterations if counter is None else counter.iterations

    def has_decay(self, variable: tf.Variable) -> bool:
        """Return whether weight decay applies to a variable.

        It does to kernels; not to biases and the parameters of norm layers and layer scale, which
        are vectors (He et al., 2019, "Bag of tricks for image classification", section 3.1), also
        if they have the shape of a depthwise kernel of 1x1.
        """
        return sum(size > 1 for size in variable.shape) > 1

    def get_averages(self) -> list[keras.Variable] | None:
        """Return the averages that are validated and saved in place of the trained weights.

        In the order of the variables that the optimizer was built with; None if it has none.
        """
        return list(self._model_variables_moving_average) if self.use_ema else None

    def reset_averages(self) -> None:
        """Set the averages to the variables: before the first step, if these were changed."""
        if averages := self.get_averages():
            self._assign_all(averages, self._trainable_variables)

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        """Set variables to their averages, if the optimizer has these."""
        if averages := self.get_averages():
            self._assign_all(var_list, averages)

    def _assign_all(self, variables: list[keras.Variable], values: list[keras.Variable]) -> None:
        """Assign to variables the values of others, on each device."""
        for variable, value in zip(variables, values, strict=True):
            self._distribution_strategy.extended.update(
                variable.value, lambda one, other: one.assign(other), args=(value.value,)
            )

    def transform(
        self, gradients: list[tf.Tensor], variables: list[tf.Variable], learning_rate: tf.Tensor
    ) -> list[Gradient]:
        """Return what `update_step` gets for each gradient; called once a step on every replica.

        Args:
            gradients: summed over the replicas, and clipped.
        """
        return list(gradients)

    def _clip_gradients(self, grads: list[tf.Tensor]) -> list[tf.Tensor]:
        """Do nothing: these are the gradients of one replica."""
        return grads

    def _apply_weight_decay(self, variables: list[keras.Variable]) -> None:
        """Do nothing: `update_step` applies the decay."""

    def _backend_update_step(
        self, grads: list[tf.Tensor], trainable_variables: list[Any], learning_rate: tf.Tensor
    ) -> None:
        """Update all variables; called on every replica."""
        variables = [getattr(each, "value", each) for each in trainable_variables]
        pairs = self._all_reduce_sum_gradients(list(zip(grads, variables, strict=True)))
        gradients = [gradient for gradient, _ in pairs]
        if self.global_clipnorm:
            gradients = clip_by_global_norm(gradients, self.global_clipnorm)
        transformed = self.transform(gradients, variables, learning_rate)
        tf.__internal__.distribute.interim.maybe_merge_call(
            self._distributed_tf_update_step,
            self._distribution_strategy,
            list(zip(transformed, variables, strict=True)),
            learning_rate,
        )

    def _distributed_tf_update_step(
        self,
        distribution: tf.distribute.Strategy,
        grads_and_vars: list[tuple[Gradient, tf.Variable]],
        learning_rate: tf.Tensor,
    ) -> None:
        """Call `update_step` for each variable, on each device that has a copy of it."""
        factors = self._learning_rate_factors

        def update(variable: tf.Variable, gradient: Gradient, rate: tf.Tensor) -> None:
            factor = factors.get(self._get_variable_index(variable), 1.0)
            self.update_step(gradient, variable, rate if factor == 1.0 else rate * factor)

        for gradient, variable in grads_and_vars:
            distribution.extended.update(
                variable, update, args=(gradient, learning_rate), group=False
            )


def clip_by_global_norm(gradients: list[tf.Tensor], limit: float) -> list[tf.Tensor]:
    """Scale gradients such that their joint L2 norm is at most `limit`; shorter ones stay."""
    norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(gradient)) for gradient in gradients]))
    scale = limit / tf.maximum(norm, tf.constant(limit, norm.dtype))
    return [gradient * scale for gradient in gradients]
