import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: the extra nn")

import torch
from sklearn.preprocessing import StandardScaler

from kernelfit.common.errors import InputError
from kernelfit.nn import draws
from kernelfit.nn.images import Images

X = np.random.default_rng(0).integers(0, 256, (6, 34, 31, 3), dtype=np.uint8)
X[5] = 77  # constant: its deviation is below the floor


def whitened(image):
    """One image (h, w, c) of pixels / 255 as the paper says, in float64: (c, h, w)."""
    x = image.astype(np.float64).transpose(2, 0, 1)
    return (x - x.mean()) / max(x.std(), 1 / np.sqrt(x.size))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_middle_is_cut_and_whitened(layout):
    images = Images(X, crop=28)
    images.layout = layout
    batch = images.batch(torch.tensor([4, 0, 5]))
    assert images.input_shape == (3, 28, 28) and images.room == (6, 3)
    assert batch.is_contiguous(memory_format=layout)
    for row, image in zip(batch, X[[4, 0, 5]], strict=True):
        np.testing.assert_allclose(row, whitened(image[3:31, 1:29] / 255), atol=2e-6)


def test_crops_are_whitened_after_cutting():
    images = Images(X, crop=28)
    offsets = torch.tensor([[0, 0], [6, 3], [2, 1]])
    for row, (top, left), image in zip(images.batch(torch.tensor([1, 2, 3]), offsets), offsets, X[1:4], strict=True):
        np.testing.assert_allclose(row, whitened(image[top : top + 28, left : left + 28] / 255), atol=2e-6)


def test_settings():
    assert torch.equal(Images(X[:, :, :, 0], crop=0, whiten=False).batch(torch.tensor([2]))[0, 0] * 255, _float(2))
    small = Images(X[:, :5, :7], crop=28)
    assert small.input_shape == (3, 5, 7) and small.room == (0, 0)
    for wrong in (-1, 2.5, None):
        with pytest.raises(InputError, match="crop"):
            Images(X, crop=wrong)
    with pytest.raises(InputError, match="int64"):
        Images(X.astype(int))


def _float(row):
    return torch.tensor(X[row, :, :, 0].astype(np.float32))


def test_numbers_that_are_no_pixels_are_used_as_they_are():
    noise = np.random.default_rng(1).standard_normal((3, 4, 4)).astype(np.float64)
    batch = Images(noise, whiten=False).batch(torch.arange(3))
    assert batch.dtype == torch.float32
    np.testing.assert_array_equal(batch[:, 0], noise.astype(np.float32))
    np.testing.assert_array_equal(
        Images(noise.reshape(3, 16), whiten=False).batch(torch.arange(3)), noise.reshape(3, 16).astype(np.float32)
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_columns_of_a_table_are_standardised_by_the_training_examples(dtype, monkeypatch):
    monkeypatch.setattr("kernelfit.nn.images._NUMBERS", 100)  # several parts
    table = np.random.default_rng(0).integers(0, 256, (50, 9)).astype(dtype)
    table[:, 4] = 7
    train = Images(table[:40])
    test = Images(table[40:], columns=train.columns)
    expected = StandardScaler().fit(table[:40].astype(np.float64))
    for images, part in ((train, table[:40]), (test, table[40:])):
        found = images.batch(torch.arange(len(part)))
        # Both are made in float64 and rounded to float32 once.
        np.testing.assert_allclose(found, expected.transform(part.astype(np.float64)), rtol=1e-6, atol=1e-6)
        assert found.dtype == torch.float32 and not found[:, 4].any()
    assert torch.equal(Images(table[:40, :1]).batch(torch.arange(40)), train.batch(torch.arange(40))[:, :1])


def test_columns_of_any_size_keep_their_digits():
    x = np.random.default_rng(0).standard_normal(50)
    expected = (x - x.mean()) / x.std()
    table = np.stack([x * 1e300, x * 1e-300, 1e9 + x, x], axis=1)
    found = Images(table).batch(torch.arange(50)).numpy()
    # 1e9 + x keeps x to 1e-7.
    np.testing.assert_allclose(found, np.repeat(expected[:, None], 4, 1), atol=1e-6)
    assert found[0, 0] == pytest.approx(found[0, 3], rel=1e-6)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 4), (6, 4, 4, 3)])
@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_finite_number_is_named(shape, whiten, value):
    x = np.random.default_rng(0).standard_normal(shape)
    x[3].flat[1] = value
    with pytest.raises(InputError, match="NaN, infinite or too large for float32, first in row 3"):
        Images(x, whiten=whiten)


def test_numbers_beyond_float32_are_named():
    x = np.ones((6, 4))
    x[2, 1] = 1e39
    with pytest.raises(InputError, match="first in row 2"):
        Images(x, whiten=False)
    with pytest.raises(InputError, match="first in row 2"):
        Images(x, columns=Images(np.random.default_rng(0).standard_normal((6, 4))).columns)
    assert Images(x)  # standardised, it is 2.2 deviations away


def test_channels_first_are_refused_with_the_cure():
    with pytest.raises(InputError, match=r"3 channels first.*X\.transpose\(0, 2, 3, 1\)"):
        Images(X.transpose(0, 3, 1, 2))


def test_read_only_images_are_fine_and_stay_as_they_are():
    frozen = X.copy()
    frozen.flags.writeable = False
    Images(frozen).batch(torch.arange(6))
    assert np.array_equal(frozen, X)


def test_batches_do_not_depend_on_their_size():
    images, offsets = Images(X), torch.from_numpy(draws.crop_offsets(0, 3, 6, (6, 3)))
    rows = torch.tensor([5, 3, 0, 1, 4])
    whole = images.batch(rows, offsets[rows])
    parts = list(images.batches(rows, 2, offsets))
    assert [len(part) for part, _ in parts] == [2, 2, 1]
    assert torch.equal(torch.cat([part for part, _ in parts]), rows)
    assert torch.equal(torch.cat([x for _, x in parts]), whole)


def test_draws_are_functions_of_seed_epoch_and_index():
    assert sorted(draws.order(0, 2, 100)) == list(range(100))
    assert np.array_equal(draws.order(0, 2, 100), draws.order(0, 2, 100))
    assert not np.array_equal(draws.order(0, 2, 100), draws.order(0, 3, 100))
    assert not np.array_equal(draws.order(0, 2, 100), draws.order(1, 2, 100))
    offsets = draws.crop_offsets(0, 0, 4000, (4, 1))
    assert offsets.min() == 0 and list(offsets.max(axis=0)) == [4, 1]
    # Each of 5 offsets has 800 +- 25 of 4,000 draws; five deviations.
    assert np.abs(np.bincount(offsets[:, 0]) - 800).max() < 127


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("crop", [0, 1, 17, 28])
@pytest.mark.parametrize("shape", [(9, 33, 29, 3), (9, 28, 30), (9, 12)])
def test_the_compiled_pass_gives_what_pytorch_gives(shape, crop, whiten, layout):
    pixels = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    # Floating-point numbers, as those of any data on a GPU, go through PyTorch.
    ours, theirs = (Images(x, crop=crop, whiten=whiten) for x in (pixels, pixels.astype(np.float32) / np.float32(255)))
    if len(shape) > 2:
        ours.layout = theirs.layout = layout
    rows = torch.tensor([8, 0, 3, 3])
    offsets = torch.from_numpy(draws.crop_offsets(0, 1, 9, ours.room)[rows]) if len(shape) > 2 else None
    for corners in (None, offsets):
        found, expected = ours.batch(rows, corners), theirs.batch(rows, corners)
        assert found.shape == expected.shape and found.dtype == expected.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=0, atol=4e-6 if whiten else 0)
    assert ours.batch(rows[:0], offsets if offsets is None else offsets[:0]).shape == (0, *ours.input_shape)


def test_sums_of_large_images_are_exact():
    white = np.full((1, 1000, 1000), 255, np.uint8)
    assert not Images(white, crop=0).batch(torch.tensor([0])).any()
    white[0, 0, 0] = 254
    found = Images(white, crop=0).batch(torch.tensor([0]))[0].numpy()
    np.testing.assert_allclose(found, whitened(white[0, :, :, None] / 255), rtol=1e-6, atol=1e-9)
