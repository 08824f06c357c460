"""Regularized multinomial logistic regression on features in memory. Light zone.

It minimizes the mean cross-entropy plus half the strength times the squared norm of the kernel, by
L-BFGS (Liu and Nocedal, 1989); the bias is not regularized. With three or
more classes, scikit-learn's `LogisticRegression` with C = 1 / (strength * images) has the same
minimum. Unlike there, features stay in float32, and a block of rows at a time is computed with in
float64; every class has a column, also one of two, and one without images; and the solution for one
strength is where the search for the next one starts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import numpy

_MAX_BLOCK_BYTES = 2**26
"""The size of a block of rows in float64, at most."""
_MAX_CACHED_BYTES = 2**29
"""The size of all features in float64 up to which they are standardized once, not at every step."""
_MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class Scaler:
    """The mean and std of each feature, by which features are standardized.

    Attributes:
        mean, std: float64 (features,); the std is 1 for a constant feature.
    """

    mean: "numpy.ndarray"
    std: "numpy.ndarray"

    @classmethod
    def fit(cls, features: "numpy.ndarray") -> Self:
        """Return the scaler of features, float32 (images, features)."""
        import numpy

        count, width = features.shape
        total, squares = numpy.zeros(width), numpy.zeros(width)
        for rows in _iterate_blocks(features):
            total += features[rows].sum(axis=0, dtype=numpy.float64)
        mean = total / count
        for rows in _iterate_blocks(features):
            squares += ((features[rows] - mean) ** 2).sum(axis=0)
        std = numpy.sqrt(squares / count)
        return cls(mean, numpy.where(std > 1e-7 * numpy.abs(mean), std, 1.0))

    def transform(self, features: "numpy.ndarray") -> "numpy.ndarray":
        """Return standardized features, float64 (images, features)."""
        return (features - self.mean) / self.std


@dataclass(frozen=True)
class Regression:
    """A solution, for standardized features.

    Attributes:
        kernel: float64 (features, classes).
        bias: float64 (classes,).
    """

    scaler: Scaler
    kernel: "numpy.ndarray"
    bias: "numpy.ndarray"

    def fold_scaler(self) -> "tuple[numpy.ndarray, numpy.ndarray]":
        """Return the kernel and bias for features as they are, of the same logits."""
        kernel = self.kernel / self.scaler.std[:, None]
        return kernel, self.bias - self.scaler.mean @ kernel

    def compute_logits(self, features: "numpy.ndarray") -> "numpy.ndarray":
        """Return the logits of features as they are, float64 (images, classes)."""
        import numpy

        logits = numpy.empty((len(features), len(self.bias)))
        for rows in _iterate_blocks(features):
            logits[rows] = self.scaler.transform(features[rows]) @ self.kernel + self.bias
        return logits


def fit(
    features: "numpy.ndarray",
    labels: "numpy.ndarray",
    strength: float,
    start: Regression,
    weights: "numpy.ndarray | None" = None,
    tolerance: float = 1e-6,
) -> Regression:
    """Return the solution for one strength, or what is reached after `_MAX_ITERATIONS` iterations.

    Args:
        features: float32 (images, features).
        labels: class numbers, (images,).
        strength: of the L2 penalty, above 0.
        start: where the search starts, with the scaler of the features.
        weights: of the images, float64 (images,), with mean 1; None for 1.
        tolerance: the largest element of the gradient at which the search ends.
    """
    import numpy
    from scipy.optimize import minimize

    shape, scaler = start.kernel.shape, start.scaler
    cached = scaler.transform(features) if 8 * features.size <= _MAX_CACHED_BYTES else None

    def compute(parameters: numpy.ndarray) -> tuple[float, numpy.ndarray]:
        kernel, bias = _unpack(parameters, shape)
        gradient, total = numpy.zeros_like(parameters), 0.0
        of_kernel, of_bias = _unpack(gradient, shape)
        for rows in _iterate_blocks(features):
            inputs = scaler.transform(features[rows]) if cached is None else cached[rows]
            loss, residuals = _compute_loss(inputs @ kernel + bias, labels[rows])
            if weights is not None:
                loss, residuals = loss * weights[rows], residuals * weights[rows, None]
            total += loss.sum()
            of_kernel += inputs.T @ residuals
            of_bias += residuals.sum(axis=0)
        gradient /= len(features)
        of_kernel += strength * kernel
        return total / len(features) + strength / 2 * float((kernel**2).sum()), gradient

    found = minimize(
        compute,
        numpy.concatenate([start.kernel.ravel(), start.bias]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_ITERATIONS, "gtol": tolerance, "ftol": 0.0, "maxls": 50},
    )
    kernel, bias = _unpack(found.x, shape)
    return Regression(scaler, kernel, bias)


def make_start(features: "numpy.ndarray", classes: int) -> Regression:
    """Return where the search for the first strength starts: zeros."""
    import numpy

    width = features.shape[1]
    return Regression(Scaler.fit(features), numpy.zeros((width, classes)), numpy.zeros(classes))


def compute_log_loss(logits: "numpy.ndarray", labels: "numpy.ndarray") -> float:
    """Return the mean cross-entropy of logits, in nats."""
    return float(_compute_loss(logits, labels)[0].mean())


def _compute_loss(
    logits: "numpy.ndarray", labels: "numpy.ndarray"
) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Return the cross-entropy of each row, and its gradient by the logits."""
    import numpy

    rows = numpy.arange(len(labels))
    margins = logits - logits.max(axis=1, keepdims=True)
    exponentials = numpy.exp(margins)
    totals = exponentials.sum(axis=1)
    loss = numpy.log(totals) - margins[rows, labels]
    residuals = exponentials / totals[:, None]
    residuals[rows, labels] -= 1
    return loss, residuals


def _unpack(
    parameters: "numpy.ndarray", shape: tuple[int, int]
) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Return views of the kernel and of the bias in a vector of all parameters."""
    size = shape[0] * shape[1]
    return parameters[:size].reshape(shape), parameters[size:]


def _iterate_blocks(features: "numpy.ndarray") -> Iterator[slice]:
    rows = max(1, _MAX_BLOCK_BYTES // (8 * max(1, features.shape[1])))
    return (slice(start, start + rows) for start in range(0, len(features), rows))
