"""Newton-Schulz iterations against numpy, padded in batches."""

import numpy
from optimizer_oracles import orthogonalize

from imgcls.backend import tf
from imgcls.optimizers import _newton_schulz


def test_orthogonalized_matrices_have_singular_values_around_1():
    random = numpy.random.default_rng(0)
    shapes = [(216, 32), (288, 64), (32, 16), (16, 40), (40, 40), (576, 128), (1, 7), (7, 1)]
    matrices = [random.normal(size=shape) for shape in shapes]
    found = _newton_schulz.orthogonalize([tf.constant(each) for each in matrices], 5)
    for matrix, result in zip(matrices, found, strict=True):
        numpy.testing.assert_allclose(result, orthogonalize(matrix, 5), rtol=1e-12, atol=1e-12)
        if matrix.shape != (40, 40):  # a square matrix has singular values close to 0
            values = numpy.linalg.svd(result, compute_uv=False)
            assert 0.6 < values.min() <= values.max() < 1.25


def test_a_gradient_of_zeros_gives_no_direction():
    found = _newton_schulz.orthogonalize([tf.zeros([3, 5]), tf.ones([3, 5])], 4)
    numpy.testing.assert_array_equal(found[0], numpy.zeros((3, 5)))
    assert numpy.isfinite(found[1]).all()


def test_padding_adds_little_work_and_leaves_few_batches():
    shapes = [(32, 216), (64, 288), (128, 576), (64, 576), (128, 1152), (10, 128), (60, 300)]
    groups = _newton_schulz.group_by_size(shapes)
    assert sorted(i for group in groups for i in group) == list(range(len(shapes)))
    assert len(groups) < len(shapes)

    def count(rows, columns):
        return 2 * rows * rows * columns + rows**3

    for group in groups:
        rows, columns = (max(shapes[i][axis] for i in group) for axis in (0, 1))
        alone = sum(count(*shapes[i]) for i in group)
        assert len(group) * count(rows, columns) <= _newton_schulz.MAX_PADDING * alone
