import numpy as np
import pytest

from tests.support.kernels import pixels

# 1,024 coordinates is where exact float32 sums end; the last of each pair ends in a short chunk.
PIXEL_SHAPES = [(30, 7, 5), (20, 8, 8, 3), (12, 1024), (12, 1025), (9, 25, 40, 3)]


@pytest.fixture(params=PIXEL_SHAPES, ids=str)
def images(request):
    return pixels(request.param), pixels((5, *request.param[1:]), seed=1)


@pytest.fixture
def vectors():
    rng = np.random.default_rng(2)
    return rng.normal(size=(25, 6)), rng.normal(size=(11, 6))
