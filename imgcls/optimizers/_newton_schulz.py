"""Orthogonalizes matrices by Newton-Schulz iterations, several at once. Heavy zone."""

from collections.abc import Sequence

from imgcls.backend import tf

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic a x + b x^3 + c x^5, whose slope at 0 is as large as possible: small singular
values grow fast, and after five iterations nearly all are between 0.7 and 1.2 (Jordan et al., 2024,
"Muon").
"""
MAX_PADDING = 1.25
"""The multiplications of a batch of padded matrices, relative to those of the matrices alone, at
most. A few large calls take less time than many small ones: this makes 4 batches of the 20 kernels
of a ResNet-20, and 9 of the 52 of a ResNet-50.
"""


def orthogonalize(matrices: Sequence[tf.Tensor], steps: int) -> list[tf.Tensor]:
    """Return for each matrix G = U S V^T, of full rank, approximately U V^T.

    Matrices of similar sizes are padded with zeros, which stay zeros, and iterated as one batch.

    Args:
        matrices: each (rows, columns), of one dtype, in which everything is computed.
        steps: number of Newton-Schulz iterations.
    """
    wide = [matrix if _is_wide(matrix) else tf.transpose(matrix) for matrix in matrices]
    found: dict[int, tf.Tensor] = {}
    for batch in group_by_size([tuple(matrix.shape) for matrix in wide]):
        rows, columns = (max(wide[i].shape[axis] for i in batch) for axis in (0, 1))
        padded = [
            tf.pad(wide[i], [[0, rows - wide[i].shape[0]], [0, columns - wide[i].shape[1]]])
            for i in batch
        ]
        results = tf.unstack(_iterate(tf.stack(padded), steps))
        for i, result in zip(batch, results, strict=True):
            unpadded = result[: wide[i].shape[0], : wide[i].shape[1]]
            found[i] = unpadded if _is_wide(matrices[i]) else tf.transpose(unpadded)
    return [found[i] for i in range(len(matrices))]


def group_by_size(shapes: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Group matrices for padding: return lists of indices, each index in one of them.

    From the largest matrix on, each joins the last group if that group's work, padded, stays within
    `MAX_PADDING` times that of its matrices alone.
    """
    order = sorted(range(len(shapes)), key=lambda i: (shapes[i], -i), reverse=True)
    groups: list[list[int]] = []
    for i in order:
        if groups:
            together = [shapes[j] for j in (*groups[-1], i)]
            largest = tuple(max(shape[axis] for shape in together) for axis in (0, 1))
            padded = len(together) * _count_products(largest[0], largest[1])
            if padded <= MAX_PADDING * sum(_count_products(*shape) for shape in together):
                groups[-1].append(i)
                continue
        groups.append([i])
    return groups


def _count_products(rows: int, columns: int) -> int:
    """Return the multiplications of an iteration."""
    return rows * rows * (2 * columns + rows)


def _is_wide(matrix: tf.Tensor) -> bool:
    return bool(matrix.shape[0] <= matrix.shape[1])


def _iterate(batch: tf.Tensor, steps: int) -> tf.Tensor:
    """Iterate a batch of matrices, (batch, rows, columns), with at most as many rows as columns."""
    a, b, c = (tf.constant(each, batch.dtype) for each in COEFFICIENTS)
    # No singular value is above the Frobenius norm, and up to 1 the iteration converges.
    norms = tf.norm(batch, axis=(1, 2), keepdims=True)
    batch = batch / (norms + tf.constant(1e-7, batch.dtype))
    for _ in range(steps):
        gram = tf.matmul(batch, batch, transpose_b=True)
        batch = a * batch + tf.matmul(b * gram + c * tf.matmul(gram, gram), batch)
    return batch
