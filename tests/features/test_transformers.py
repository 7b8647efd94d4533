"""Features as scikit-learn transformers: the numbers of their definitions, in whatever form images come."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import kernelfit as kf
from kernelfit.backend import Cpu
from kernelfit.common.errors import InputError, NotEnoughMemoryError
from kernelfit.datasets import load
from kernelfit.estimators import KernelInterpolationClassifier, KernelInterpolator
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.features import Gabor, RandomConv, Scattering, Wavelet, parse_features
from kernelfit.features import randomconv as definitions
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Linear

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 12, 10, 3), np.uint8)
MAPS = [
    Gabor(wavelengths=(3.0, 5.0), orientations=3, step=3),
    Scattering(wavelengths=(2.0, 3.0), second_wavelengths=(6.0,), orientations=2, second_orientations=2, step=5),
    Wavelet(wavelet="haar", level=1),
]
CONV = {"filters": 40, "patch": 4, "pool": 4, "stride": 3}
ALL = [*MAPS, RandomConv(**CONV)]
each = pytest.mark.parametrize("features", ALL, ids=lambda features: type(features).__name__)


def definition(features):
    """What the command line would be given."""
    changed = {name: value for name, value in features.get_params().items() if name in features._fields}
    return type(features)._definition(**changed)


def test_images_may_come_as_nested_lists():
    made = [clone(MAPS[0]).fit_transform(images) for images in (IMAGES[:3] / 255, (IMAGES[:3] / 255).tolist())]
    assert np.array_equal(*made)


@pytest.mark.parametrize("features", MAPS, ids=lambda features: type(features).__name__)
@pytest.mark.parametrize("images", [IMAGES, IMAGES[..., 0], IMAGES / 255, (IMAGES[..., 1] / 255).astype(np.float32)])
def test_the_numbers_are_those_of_the_text_form(features, images):
    expected = parse_features(str(definition(features))).transform(images)
    shape = images.shape[1:]
    rows = clone(features).set_params(image_shape=shape)
    assert np.array_equal(clone(features).fit_transform(images), expected)
    assert np.array_equal(rows.fit_transform(images.reshape(30, -1)), expected)
    assert np.array_equal(rows.set_params(image_shape=(-1, *shape[1:])).fit(images).transform(images), expected)
    assert rows.image_shape_ == shape and rows.n_features_in_ == np.prod(shape) and expected.dtype == np.float32
    assert np.array_equal(rows.transform(images.reshape(30, -1)), expected), "fitted to images, given rows"


@pytest.mark.parametrize("preset", definitions.PRESETS)
@pytest.mark.parametrize("flip", [False, True])
def test_inner_products_of_random_features_are_those_that_are_accumulated(preset, flip):
    features = RandomConv(preset=preset, flip=flip, random_state=3, **CONV)
    train, test = IMAGES[:20], IMAGES[20:]
    points, others = definition(features).points(train, test, seed=3)
    K, K_test = (gram(left, Linear(), points).block((0, n), (0, 20)) for left, n in ((points, 20), (others, 10)))
    F, F_test = features.fit(train).transform(train).astype(float), features.transform(test).astype(float)
    # float32 in another order, u sqrt(480 features) = 1e-6, in proportion to the norms of both.
    np.testing.assert_allclose(F @ F.T, K, rtol=1e-5, atol=2e-6 * K.max())
    np.testing.assert_allclose(F_test @ F.T, K_test, rtol=1e-5, atol=2e-6 * K.max())
    if preset == "rooted":  # standardised over the images of the fit
        np.testing.assert_allclose(F.std(axis=0).max(), np.sqrt(1 / 40), rtol=1e-5)


def test_several_blocks_of_filters_and_several_blocks_of_images_are_one(monkeypatch):
    options = CONV | {"filters": 512, "preset": "rooted"}
    whole = RandomConv(**options).fit(IMAGES)
    F = whole.transform(IMAGES)
    assert F.shape == (30, whole._n_features_out) == (30, 512 * 2 * 4)
    monkeypatch.setattr("kernelfit.features.explicit._ROWS", 7)
    parts = RandomConv(**options).fit(IMAGES)
    # Averages over 16 responses in float32, standardised: a few units in the last place of each.
    np.testing.assert_allclose(parts.transform(IMAGES), F, atol=1e-5 * np.abs(F).max())


@each
def test_an_image_has_the_same_features_whatever_comes_with_it(features):
    """What two of scikit-learn's checks ask for, to the digits that float32 has."""
    made = clone(features).fit(IMAGES)
    F, order = made.transform(IMAGES), RNG.permutation(30)
    np.testing.assert_allclose(made.transform(IMAGES[order]), F[order], atol=1e-5 * np.abs(F).max())
    alone = np.concatenate([made.transform(IMAGES[i : i + 1]) for i in range(30)])
    np.testing.assert_allclose(alone, F, atol=1e-5 * np.abs(F).max())


@pytest.mark.parametrize(
    "features",
    [Gabor(wavelengths=(2.0, 4.0), step=2), Wavelet(level=1), RandomConv(filters=64, patch=3, pool=3, stride=3)],
    ids=str,
)
def test_a_pipeline_is_kernelfit_solve_with_these_features(features):
    spec = SolveSpec(features=str(definition(features)), kernel="gaussian", bandwidth=2.0, n_train=150, n_test=60)
    record, _ = run_solve(spec)
    data = load("digits", n_train=150, n_test=60)
    model = make_pipeline(features, KernelInterpolationClassifier(bandwidth=2.0)).fit(data.X_train, data.y_train)
    # The products of random features are rounded to float32 in other places: cond(K) times 1e-7.
    assert model[-1].norm_ == pytest.approx(record.results.norm, rel=1e-4 if "Random" in str(features) else 1e-10)
    assert 1 - model.score(data.X_test, data.y_test) == pytest.approx(record.results.test_error)


@each
def test_words_of_scikit_learn(features):
    pytest.importorskip("pandas", reason="frames need pandas")
    made = clone(features).set_output(transform="pandas").fit(IMAGES)
    frame = made.transform(IMAGES)
    names = made.get_feature_names_out()
    assert list(frame.columns) == names.tolist() and len(set(names)) == frame.shape[1]
    assert names[0] == type(features).__name__.lower() + "0"
    kept = pickle.loads(pickle.dumps(made))
    assert kept.transform(IMAGES).equals(frame)
    assert clone(made).get_params() == features.get_params() and not hasattr(clone(made), "image_shape_")
    assert {*features._fields, "image_shape"} <= set(features.get_params())


def test_parameters_are_searched_like_any(features=MAPS[2]):
    X, y = IMAGES[..., 0] / 255, RNG.standard_normal(30)
    pipeline = make_pipeline(features, KernelInterpolator(bandwidth=5.0, ridge=1e-2))
    grid = {"wavelet__wavelet": ["haar", "db2"], "wavelet__level": [0, 1]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    np.testing.assert_allclose(scores, scores[0], atol=1e-5, err_msg="rotations change no distance")


def test_random_states():
    def filters(state):
        return RandomConv(random_state=state, **CONV).fit(IMAGES).features_.filters[0]

    assert np.array_equal(filters(3), filters(np.int64(3))) and not np.array_equal(filters(3), filters(4))
    assert np.array_equal(*(filters(np.random.RandomState(1)) for _ in range(2)))
    assert not np.array_equal(filters(None), filters(None))


def test_a_fitted_transformer_does_not_keep_the_training_images():
    images = np.repeat(IMAGES, 40, axis=0)
    sizes = [len(pickle.dumps(RandomConv(preset="patch", **CONV).fit(X))) for X in (IMAGES, images)]
    assert sizes[1] < sizes[0] + 1000 < images.nbytes / 4


@pytest.mark.parametrize("features", [Gabor(), RandomConv(preset="rooted", **CONV)], ids=str)
def test_what_does_not_fit_in_memory_is_refused_before_it_is_made(features, monkeypatch):
    made = clone(features).fit(IMAGES)
    width = made._n_features_out
    monkeypatch.setattr(Cpu, "free_memory", lambda self: 4 * 20 * width)
    assert made.transform(IMAGES[:20]).shape == (20, width)
    with pytest.raises(NotEnoughMemoryError, match=f"{width:,} features of 30 images take"):
        made.transform(IMAGES)
    if isinstance(features, RandomConv):
        monkeypatch.setattr(Cpu, "free_memory", lambda self: 4 * width)
        with pytest.raises(NotEnoughMemoryError, match="of 30 images"):
            made.fit(IMAGES)


@pytest.mark.parametrize("preset", definitions.PRESETS)
def test_an_image_of_one_colour_has_finite_features(preset):
    images = IMAGES.copy()
    images[3] = 200
    assert np.isfinite(RandomConv(preset=preset, **CONV).fit(images).transform(images)).all()


@pytest.mark.parametrize(
    ("features", "images", "message"),
    [
        (Gabor(), IMAGES.reshape(30, -1), r"n_features = 360 .*image_shape=\(28, 28\)"),
        (Gabor(image_shape=(12, 10)), IMAGES.reshape(30, -1), "does not fit rows of n_features = 360"),
        (Gabor(image_shape=(12, 10)), IMAGES, r"does not fit images of shape \(12, 10, 3\)"),
        (Gabor(image_shape=(-1, -1)), IMAGES.reshape(30, -1), "does not fit"),
        (Gabor(image_shape=360), IMAGES.reshape(30, -1), "does not fit"),
        (Gabor(image_shape="12x10"), IMAGES, "does not fit"),
        (Gabor(root=2.0), IMAGES, "root = 2.0"),
        (Gabor(wavelengths=()), IMAGES, "wavelengths"),
        (Wavelet(level=9), IMAGES, "cannot be halved 9 times"),
        (RandomConv(preset="imagge"), IMAGES, "did you mean"),
        (RandomConv(patch=11), IMAGES, "do not fit in images"),
        (RandomConv(patch=1), IMAGES[..., 0], "cannot vary"),
        (Gabor(), IMAGES[None], r"does not fit|\(h, w\)"),
    ],
)
def test_what_is_refused(features, images, message):
    with pytest.raises(InputError, match=message):
        features.fit(images)


def test_what_transform_refuses():
    made = Wavelet(level=1).fit(IMAGES)
    with pytest.raises(InputError, match=r"images are \(10, 12, 3\); this transformer was fitted to \(12, 10, 3\)"):
        made.transform(IMAGES.transpose(0, 2, 1, 3))
    with pytest.raises(ValueError, match="120 features, but Wavelet is expecting 360"):
        made.transform(IMAGES[..., 0])
    with pytest.raises(InputError, match="fitted to uint8 pixels, which stand for x / 255"):
        made.transform(IMAGES.astype(float))
    with pytest.raises(InputError, match="images are uint8; this transformer was fitted to numbers used as they are"):
        clone(made).fit(IMAGES.astype(np.float32)).transform(IMAGES)
    with pytest.raises(TypeError, match="unexpected keyword argument 'levels'"):
        Wavelet(levels=1)


def test_public_names_and_definitions():
    for name in ("Gabor", "RandomConv", "Scattering", "Wavelet"):
        public = getattr(kf, name)
        assert public is getattr(kf.features, name)
        made = parse_features(name.lower())
        assert public._definition is type(made) and definition(public()) == made
        assert "image_shape : tuple of int" in public.__doc__ and "Parameters\n----------" in public.__doc__
