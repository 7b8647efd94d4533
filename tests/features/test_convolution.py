"""Convolve, rectify, average: against loops over positions, and the compiled pass against plain array operations."""

import numpy as np
import pytest
from scipy.signal import correlate2d

from kernelfit.backend import CPU
from kernelfit.common.errors import InputError
from kernelfit.features.convolution import Convolution
from kernelfit.features.patches import image_patches, normalised, patch_pass
from kernelfit.features.pooling import Windows, passes, rectified_cells


def reference(X, filters, conv):
    """Features (images, cells, signs, filters) in float64 by scipy's correlation and a loop over windows."""
    X, filters = X.astype(np.float64), filters.astype(np.float64)
    m, (h, w, c), s = len(X), conv.image, conv.patch
    Z = np.empty((m, h - s + 1, w - s + 1, filters.shape[1]))
    for i in range(m):
        for j in range(filters.shape[1]):
            kernel = filters[:, j].reshape(s, s, c)
            if conv.constant < 0:
                Z[i, :, :, j] = sum(correlate2d(X[i, :, :, k], kernel[:, :, k], mode="valid") for k in range(c))
            else:
                for y in range(h - s + 1):
                    for x in range(w - s + 1):
                        p = X[i, y : y + s, x : x + s].ravel()
                        Z[i, y, x, j] = (p - p.mean()) / np.sqrt(p.var() + conv.constant) @ filters[:, j]
    Z -= conv.shift.astype(np.float64) @ filters
    cells = [
        [
            np.maximum(sign * Z[:, y : y + conv.pool, x : x + conv.pool] - conv.bias, 0).mean(axis=(1, 2))
            for sign in signs
        ]
        for signs in [(1, -1)[: conv.signs]]
        for y in range(0, h - s + 2 - conv.pool, conv.stride)
        for x in range(0, w - s + 2 - conv.pool, conv.stride)
    ]
    return np.array(cells).transpose(2, 0, 1, 3)


SHAPES = [  # image, patch, pool, stride
    ((12, 12, 3), 4, 5, 2),
    ((9, 14, 1), 3, 3, 3),
    ((8, 7, 2), 2, 4, 5),  # positions beyond the last window
    ((6, 6, 3), 6, 1, 1),
    ((11, 10, 1), 3, 2, 4),  # gaps between windows
]


@pytest.mark.parametrize(("image", "patch", "pool", "stride"), SHAPES)
@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize("constant", [-1.0, 0.5])
def test_features_are_those_of_a_plain_convolution(image, patch, pool, stride, two_sided, constant):
    rng = np.random.default_rng(0)
    d = patch**2 * image[2]
    shift = rng.standard_normal(d).astype(np.float32)
    conv = Convolution(image, patch, pool, stride, 0.3, two_sided, constant, shift)
    X = rng.standard_normal((5, *image)).astype(np.float32)
    filters = rng.standard_normal((d, 6)).astype(np.float32)
    expected = reference(X, filters, conv)
    assert expected.shape == (5, conv.cells, conv.signs, 6)
    blocks = expected.reshape(5, conv.cells, conv.signs, 3, 2).transpose(3, 0, 1, 2, 4).reshape(3, 5, -1)
    for made in (conv._on_cpu, conv._on_gpu):
        out = np.full(blocks.shape, np.nan, np.float32)
        made(X, filters, out, CPU, lambda images: None)
        np.testing.assert_allclose(out, blocks, rtol=0, atol=2e-5 * np.abs(blocks).max())


def test_parts_of_a_strided_output_and_progress():
    rng = np.random.default_rng(1)
    conv = Convolution((9, 9, 3), 3, 4, 2, 0.1, True, -1.0, np.zeros(27, np.float32))
    X, filters = rng.standard_normal((600, 9, 9, 3)).astype(np.float32), np.eye(27, 4, dtype=np.float32)
    whole, done = np.zeros((2, 600, conv.cells * 2 * 2), np.float32), []
    conv.features(X, filters, whole, device=CPU, progress=done.append)
    parts = np.zeros_like(whole)
    for start in (0, 7, 301):
        stop = {0: 7, 7: 301, 301: 600}[start]
        conv.features(X[start:stop], filters, parts[:, start:stop], device=CPU)
    assert np.array_equal(parts, whole) and sum(done) == 600
    with pytest.raises(InputError, match="made for"):
        conv.features(X[:, 1:], filters, whole, device=CPU)


@pytest.mark.parametrize(("size", "pool", "stride"), [(27, 15, 6), (27, 13, 7), (9, 3, 3), (5, 5, 2), (10, 2, 4)])
def test_windows_are_sums_of_segments(size, pool, stride):
    windows = Windows.along(size, pool, stride)
    spans = [(windows.edges[a], windows.edges[b]) for a, b in windows.spans]
    assert spans == [(start, start + pool) for start in range(0, size - pool + 1, stride)]
    assert windows.edges[0] == 0 and windows.size == spans[-1][1] <= size


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_the_pass_over_responses_is_the_array_expression(rows):
    rng = np.random.default_rng(2)
    vertical, horizontal = Windows.along(8, 4, 2), Windows.along(11, 5, 3)
    Z = rng.standard_normal((8, 11, 33)).astype(np.float32)
    expected = rectified_cells(Z[None].astype(np.float64), vertical, horizontal, 4, 0.25, True)[0]
    add, combine = passes(True)
    sums = np.zeros((len(vertical.edges) - 1, len(horizontal.edges) - 1, 2, 33), np.float32)
    edges = np.array(vertical.edges), np.array(horizontal.edges)
    for first in range(0, 8, rows):
        part = np.ascontiguousarray(Z[first : first + rows, : horizontal.size]).reshape(-1, 33)
        add(part, first, *edges, np.float32(0.25), sums)
    out = np.empty(expected.shape, np.float32)
    combine(sums, np.array(vertical.spans), np.array(horizontal.spans), np.float32(1 / 16), out)
    np.testing.assert_allclose(out, expected, atol=1e-6)


@pytest.mark.parametrize("constant", [-1.0, 0.0, 10.0])
def test_patches_are_cut_and_normalised_alike_on_both_paths(constant):
    rng = np.random.default_rng(3)
    image = rng.standard_normal((7, 8, 3)).astype(np.float32)
    image[:3, :3] = 2.0  # a patch of one colour has no direction
    shift = rng.standard_normal(27).astype(np.float32)
    expected = image_patches(image[None], 3)[0, :, :6].reshape(-1, 27)
    assert np.array_equal(expected[7], image[1:4, 1:4].ravel())
    expected = (normalised(expected, constant) if constant >= 0 else expected) - shift
    out = np.empty((30, 27), np.float32)
    patch_pass(image, 3, 6, np.float32(constant), shift, out)
    np.testing.assert_allclose(out, expected, atol=2e-6)
    assert np.isfinite(out).all()


@pytest.mark.parametrize(("patch", "pool"), [(10, 1), (3, 8), (0, 1)])
def test_what_does_not_fit_is_named(patch, pool):
    with pytest.raises(InputError, match=r"do(es)? not fit"):
        Convolution((9, 9, 1), patch, pool, 1, 0.0, True, -1.0, np.zeros(patch**2, np.float32))
