"""Linear models against numpy and scikit-learn; descents against exact expectations; what must fail, fails."""

import numpy as np
import pytest
from sklearn.svm import SVC

from kernelfit.common.errors import InputError
from kernelfit.theory import linear

EPS = np.finfo(float).eps
SHAPES = {
    "wide": (12, 40, 12),
    "square": (15, 15, 15),
    "tall": (40, 12, 12),
    "deficient": (20, 30, 7),
    "one": (1, 6, 1),
}
DESCENTS = [linear.gradient_descent, linear.stochastic_gradient_descent, linear.kaczmarz]
BY_ROWS = DESCENTS[1:]


def matrix(n, d, rank, condition=10.0, seed=0):
    """Return X (n, d) with singular values from 1 to 1 / condition, and an orthonormal basis of its null space."""
    rng = np.random.default_rng(seed)
    U, _ = np.linalg.qr(rng.standard_normal((n, n)))
    V, _ = np.linalg.qr(rng.standard_normal((d, d)))
    return (U[:, :rank] * np.geomspace(1, 1 / condition, rank)) @ V[:, :rank].T, V[:, rank:]


def relative(A, B):
    return np.linalg.norm(A - B) / np.linalg.norm(B)


@pytest.fixture(params=SHAPES, ids=str)
def problem(request):
    """X, the basis of its null space, and READ-ONLY targets."""
    n, d, rank = SHAPES[request.param]
    X, null = matrix(n, d, rank)
    Y = np.random.default_rng(1).standard_normal((n, 3))
    Y.flags.writeable = X.flags.writeable = False
    return X, null, Y


# ---- least squares -------------------------------------------------------------------------------------------------


def test_minimum_norm_against_numpy(problem):
    X, null, Y = problem
    solution = linear.minimum_norm(X, Y)
    expected, _, rank, singular_values = np.linalg.lstsq(X, Y, rcond=None)
    # Both SVDs are backward stable: condition^2 eps max(n, d) where Y cannot be interpolated, and condition = 10.
    assert relative(solution.weights, expected) < 100 * 100 * EPS * max(X.shape)
    assert relative(solution.dual_coef, np.linalg.pinv(X @ X.T, rcond=1e-10) @ Y) < 1e-10  # from X X^T: condition^4
    assert solution.rank == rank
    np.testing.assert_allclose(solution.singular_values, singular_values[:rank], rtol=1e-13)
    assert solution.condition == pytest.approx(singular_values[0] / singular_values[rank - 1])
    worst = (
        max(relative(X @ w, y) for w, y in zip(expected.T, Y.T, strict=True))
        if Y.ndim > 1
        else relative(X @ expected, Y)
    )
    assert solution.relative_residual == pytest.approx(worst, abs=1e-14)
    assert solution.norm == pytest.approx(np.linalg.norm(expected))
    assert np.linalg.norm(null.T @ solution.weights) < 1e-13 * solution.norm
    for c in range(3):
        one = linear.minimum_norm(X, Y[:, c])
        assert one.weights.shape == X.shape[1:] and one.dual_coef.shape == X.shape[:1]
        np.testing.assert_allclose(one.weights, solution.weights[:, c], atol=1e-13 * solution.norm)


def test_the_dual_gives_the_primal(problem):
    X, _, Y = problem
    solution = linear.minimum_norm(X, Y)
    assert relative(X.T @ solution.dual_coef, solution.weights) < 1e-12
    if solution.rank == len(X):
        assert relative(X @ X.T @ solution.dual_coef, Y) < 1e-12
        assert relative(X @ solution.weights, Y) < 1e-13


def test_every_other_solution_is_longer_by_its_null_space_part(problem):
    X, null, Y = problem
    solution = linear.minimum_norm(X, Y)
    other = solution.weights + null @ np.ones((null.shape[1], 3))
    np.testing.assert_allclose(X @ other, X @ solution.weights, atol=1e-13)
    np.testing.assert_allclose(np.sum(other**2), solution.norm**2 + 3 * null.shape[1], rtol=1e-12)


def test_the_squared_condition_number_is_avoided():
    X, null = matrix(30, 60, 30, condition=1e7)
    W = np.random.default_rng(0).standard_normal(60)
    W -= null @ (null.T @ W)
    solution = linear.minimum_norm(X, X @ W)
    assert solution.condition == pytest.approx(1e7, rel=1e-6)
    assert solution.relative_residual < 60 * EPS
    # The SVD is exact for X + E with |E| <= eps max(n, d) at most, and W moves by condition |E| / |X|.
    assert relative(solution.weights, W) < 60 * EPS * 1e7
    through_gram = X.T @ np.linalg.solve(X @ X.T, X @ W)
    assert relative(through_gram, W) > 100 * relative(solution.weights, W)


def test_pixels_stand_for_fractions_of_255():
    X = np.random.default_rng(0).integers(0, 256, (9, 4, 5), dtype=np.uint8)
    y = np.arange(9.0)
    expected = linear.minimum_norm(X.reshape(9, -1) / 255, y)
    np.testing.assert_allclose(linear.minimum_norm(X, y).weights, expected.weights, rtol=1e-11)


def test_the_curvature_is_that_of_the_loss_at_every_global_solution(problem):
    X, null, _ = problem
    n, d = X.shape
    curvature = linear.curvature(X)
    np.testing.assert_allclose(curvature.eigenvalues, np.linalg.eigvalsh(X.T @ X / n)[::-1], atol=1e-15)
    assert curvature.rank == d - null.shape[1]

    y = X @ np.ones(d)
    w_min = linear.minimum_norm(X, y).weights
    for w in (w_min, w_min + null @ np.arange(1.0, null.shape[1] + 1)):  # the same point twice if there is one solution

        def loss(v, w=w):
            return np.sum((X @ (w + v) - y) ** 2) / (2 * n)

        assert loss(np.zeros(d)) < 1e-24
        # The loss is quadratic, so that second differences with steps of 1 are exact but for rounding.
        e = np.eye(d)
        hessian = [[loss(e[i] + e[j]) - loss(e[i]) - loss(e[j]) + loss(0 * e[0]) for j in range(d)] for i in range(d)]
        np.testing.assert_allclose(np.linalg.eigvalsh(hessian)[::-1], curvature.eigenvalues, atol=1e-13)


# ---- descents ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("descend", DESCENTS)
@pytest.mark.parametrize("outputs", [None, 1, 4])
def test_descent_from_zero_finds_the_minimum_norm_solution(descend, outputs):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((40, 200))
    Y = rng.standard_normal((40, *([outputs] if outputs else [])))
    path = descend(X, Y)
    assert path.weights.shape == (200, *([outputs] if outputs else []))
    assert relative(path.weights, np.linalg.lstsq(X, Y, rcond=None)[0]) < 1e-8  # the bar; rounding is about 1e-14
    assert path.distance[-1] < 1e-8 * path.norm[-1]
    assert path.span_residual.max() < 1e-13 * path.norm[-1]
    assert path.distance[0] == path.solution.norm and path.norm[0] == 0 and path.steps[0] == 0
    assert path.norm[-1] == pytest.approx(path.solution.norm)
    # Sure for gradient descent; for rows drawn at random the bound is on the mean, which a typical path lies below.
    assert 0.5 * (1 - path.predicted_factor) < 1 - path.observed_factor < 1
    assert path.observed_factor <= path.predicted_factor


@pytest.mark.parametrize("descend", DESCENTS)
@pytest.mark.parametrize("shape", ["wide", "deficient", "square", "tall"])
def test_a_wrong_start_adds_its_null_space_part(descend, shape):
    n, d, rank = SHAPES[shape]
    X, null = matrix(n, d, rank, condition=2.0)
    rng = np.random.default_rng(4)
    Y, start = X @ rng.standard_normal((d, 2)), rng.standard_normal((d, 2))
    path = descend(X, Y, start=start)
    extra = null @ null.T @ start
    expected = np.linalg.pinv(X, rcond=1e-10) @ Y + extra
    assert relative(path.limit, expected) < 1e-12
    assert relative(path.weights, expected) < 1e-8
    np.testing.assert_allclose(path.span_residual, np.linalg.norm(extra), atol=1e-12)
    assert path.distance[-1] == pytest.approx(np.linalg.norm(extra), abs=1e-8)
    assert path.distance[0] == pytest.approx(np.linalg.norm(start - path.solution.weights))
    np.testing.assert_allclose(path.distance**2, path.limit_distance**2 + np.sum(extra**2), rtol=1e-9, atol=1e-20)


@pytest.mark.parametrize("rate", [None, 0.3, 1.9])
def test_gradient_descent_is_its_closed_form(problem, rate):
    """After k steps from zero, W_k = sum_i (1 - (1 - rate lambda_i)^k) v_i v_i^T W_min, interpolated or not."""
    X, _, Y = problem
    n, steps = len(X), 25
    rate = rate and rate * n  # lambda_max = 1 / n
    path = linear.gradient_descent(X, Y, rate=rate, steps=steps)
    eigenvalues, V = path.solution.singular_values**2 / n, path.solution.row_space
    rate = rate or 2 / (eigenvalues.max() + eigenvalues.min())
    damped = (1 - (1 - rate * eigenvalues) ** steps)[:, None] * (V.T @ path.solution.weights)
    np.testing.assert_allclose(path.weights, V @ damped, atol=1e-12 * path.solution.norm)
    assert path.predicted_factor == pytest.approx(np.max((1 - rate * eigenvalues) ** 2))
    ratio = path.distance[1:] ** 2 - path.predicted_factor * path.distance[:-1] ** 2
    assert (ratio <= 1e-12 * path.solution.norm**2).all()


def orthogonal_rows(norms, d, seed=0):
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))
    return np.array(norms)[:, None] * Q[: len(norms)]


def mean_and_error(samples):
    return np.mean(samples, axis=0), np.std(samples, axis=0) / np.sqrt(len(samples))


def test_kaczmarz_has_the_expectation_of_strohmer_and_vershynin():
    """With orthogonal rows, a step clears the error along its row for good: E e_i^2 = (1 - p_i)^k e_i^2."""
    norms = np.array([1.0, 2.0, 0.5, 1.5])
    X = orthogonal_rows(norms, 6)
    y, p, k = norms * np.array([1.0, -1.0, 2.0, 1.0]), norms**2 / np.sum(norms**2), 8
    paths = [linear.kaczmarz(X, y, epochs=2, seed=seed) for seed in range(400)]
    assert paths[0].steps.tolist() == [0, 4, 8]
    mean, error = mean_and_error([path.distance[-1] ** 2 for path in paths])
    expected = np.sum((1 - p) ** k * (y / norms) ** 2)
    assert abs(mean - expected) < 4 * error  # one seed in 15,000 would fail; the seeds are fixed
    assert error < 0.1 * expected
    assert paths[0].predicted_factor == pytest.approx(1 - p.min())
    X = np.random.default_rng(0).standard_normal((6, 9))
    kappa = np.linalg.norm(X) * np.linalg.norm(np.linalg.pinv(X), 2)
    assert linear.kaczmarz(X, np.ones(6)).predicted_factor == pytest.approx(1 - 1 / kappa**2)


@pytest.mark.parametrize("rate", [None, 0.4, 1.7])
def test_stochastic_gradient_descent_has_its_expectation(rate):
    """With orthonormal rows its bound is an equality: each step multiplies one error in n by 1 - rate."""
    X, y, k = orthogonal_rows(np.ones(5), 8), np.ones(5), 10
    paths = [linear.stochastic_gradient_descent(X, y, rate=rate, epochs=2, seed=seed) for seed in range(400)]
    squared = (1 - (1.0 if rate is None else rate)) ** 2
    factor = 1 - (1 - squared) / 5
    assert paths[0].predicted_factor == pytest.approx(factor)
    mean, error = mean_and_error([path.distance[-1] ** 2 for path in paths])
    assert abs(mean - factor**k * 5) < 4 * error


@pytest.mark.parametrize("descend", BY_ROWS)
def test_the_predicted_rate_bounds_the_mean(descend):
    X = np.random.default_rng(5).standard_normal((6, 10)) * np.geomspace(1, 3, 6)[:, None]
    paths = [descend(X, np.ones(6), epochs=10, seed=seed) for seed in range(200)]
    mean, error = mean_and_error([path.distance**2 for path in paths])
    bound = paths[0].predicted_factor ** paths[0].steps * mean[0]
    assert (mean <= bound + 4 * error + 1e-12 * mean[0]).all()


@pytest.mark.parametrize("descend", BY_ROWS)
def test_seeds(descend):
    X, _ = matrix(12, 40, 12)
    paths = [descend(X, np.ones(12), epochs=3, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(paths[0].weights, paths[1].weights)
    assert not np.array_equal(paths[0].weights, paths[2].weights)
    with pytest.raises(InputError, match="seed"):
        descend(X, np.ones(12), seed=-1)


def test_rows_of_zeros_are_left_alone_and_a_start_at_the_limit_has_no_rate():
    X = np.vstack([matrix(8, 20, 8, condition=2.0)[0], np.zeros((2, 20))])
    y = X @ np.ones(20)
    assert linear.kaczmarz(X, y, epochs=300).distance[-1] < 1e-8
    at_limit = linear.kaczmarz(X, np.zeros(10), start=np.zeros(20), epochs=1)
    assert np.isnan(at_limit.observed_factor) and not at_limit.weights.any()


@pytest.mark.parametrize("descend", BY_ROWS)
def test_targets_that_no_weights_reach_are_refused(descend):
    X, _ = matrix(40, 12, 12)
    y = np.random.default_rng(0).standard_normal(40)
    with pytest.raises(InputError, match=r"n = 40 exceeds the rank 12.*gradient_descent"):
        descend(X, y)
    assert relative(linear.gradient_descent(X, y).weights, np.linalg.lstsq(X, y, rcond=None)[0]) < 1e-8
    twice = np.vstack([X[:2], X[:1]])
    with pytest.raises(InputError, match="equal points have different targets"):
        descend(twice, np.array([1.0, 2.0, 3.0]))
    descend(twice, np.array([1.0, 2.0, 1.0]), epochs=1)


BAD = {
    "targets of another length": (dict(Y=np.ones(4)), r"\(4,\) does not fit 5 points"),
    "targets with three axes": (dict(Y=np.ones((5, 1, 1))), "does not fit"),
    "no outputs": (dict(Y=np.ones((5, 0))), "does not fit"),
    "NaN among targets": (dict(Y=np.array([0, 0, np.nan, 0, 0])), "Y of point 2"),
    "NaN among points": (dict(X=np.full((5, 7), np.nan)), "point 0"),
    "zeros": (dict(X=np.zeros((5, 7))), "is zero"),
    "start": (dict(start=np.zeros(6)), r"shape \(6,\).*\(7,\)"),
    "start with one output": (dict(start=np.zeros((7, 1))), r"\(7, 1\)"),
    "start with NaN": (dict(start=np.full(7, np.nan)), "finite"),
    "no steps": (dict(steps=0, epochs=0), "at least 1"),
}


@pytest.mark.parametrize("descend", DESCENTS)
@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(descend, name):
    changes, message = BAD[name]
    arguments = dict(X=matrix(5, 7, 5)[0], Y=np.ones(5)) | changes
    arguments.pop("epochs" if descend is linear.gradient_descent else "steps", None)
    with pytest.raises(InputError, match=message):
        descend(**arguments)


@pytest.mark.parametrize("rate", [0.0, -1.0, 2.0, np.nan, np.inf])
def test_rates_that_do_not_converge(rate):
    X = np.eye(3)  # X^T X / 3 has the eigenvalues 1 / 3, and rows have norm 1
    for descend, factor in ((linear.gradient_descent, 3.0), (linear.stochastic_gradient_descent, 1.0)):
        with pytest.raises(InputError, match=r"0 < rate < 2 / "):
            descend(X, np.ones(3), rate=factor * rate)


# ---- separation ----------------------------------------------------------------------------------------------------


def two_classes(n=60, d=5, seed=0):
    """Points on both sides of a hyperplane through the origin; the one of largest margin, by scikit-learn."""
    rng = np.random.default_rng(seed)
    X, w = rng.standard_normal((n, d)), rng.standard_normal(d)
    y = np.sign(X @ w)
    X += 0.3 * y[:, None] * w
    # With every point also mirrored, the best hyperplane passes through the origin.
    machine = SVC(kernel="linear", C=1e8, tol=1e-10).fit(np.vstack([X, -X]), np.concatenate([y, -y]))
    direction = machine.coef_[0] / np.linalg.norm(machine.coef_)
    return X, y, direction, float(np.min(y * (X @ direction)))


@pytest.mark.parametrize("seed", range(4))
def test_perceptron(seed):
    X, y, _, best = two_classes(seed=seed)
    found = linear.perceptron(X, y)
    w, mistakes = np.zeros(5), 0
    for _ in range(found.passes):
        for x, sign in zip(X, y, strict=True):
            if sign * (x @ w) <= 0:
                w, mistakes = w + sign * x, mistakes + 1
    np.testing.assert_allclose(found.weights, w, rtol=1e-12)
    assert found.separated and found.mistakes == mistakes > 0
    assert (y * (X @ found.weights) > 0).all()
    assert 0 < found.margin <= best * (1 + 1e-6)  # SVC's own tolerance
    assert found.mistakes <= (found.radius / best) ** 2 * (1 + 1e-6) <= found.mistake_bound * (1 + 1e-5)
    assert found.radius == pytest.approx(np.linalg.norm(X, axis=1).max())
    assert found.margin == pytest.approx(np.min(y * (X @ w)) / np.linalg.norm(w))


def test_perceptron_gives_up_on_what_no_hyperplane_separates():
    X = np.array([[1.0, 1, 1], [1, -1, 1], [-1, 1, 1], [-1, -1, 1]])
    found = linear.perceptron(X, np.array([1, -1, -1, 1]), max_passes=50)
    assert not found.separated and found.passes == 50 and found.margin <= 0 and found.mistake_bound == np.inf


@pytest.mark.parametrize("seed", range(3))
def test_logistic_descent_tends_to_the_maximum_margin(seed):
    X, y, direction, best = two_classes(seed=seed)
    plain, fast = (linear.logistic_descent(X, y, steps=5000, normalized=choice) for choice in (False, True))
    for path in (plain, fast):
        assert path.steps[0] == 1 and path.steps[-1] == 5000
        assert (path.margin <= best * (1 + 1e-6)).all()  # SVC's own tolerance
        assert path.margin[-1] == pytest.approx(np.min(y * (X @ path.weights)) / np.linalg.norm(path.weights))
        assert path.norm[-1] == np.linalg.norm(path.weights) == path.norm.max()
        assert (np.diff(path.loss) < 0).all()
    # log k / sqrt k is 0.12 at k = 5000, and bounds the normalized gap from above; 1 / log k is 0.12 as well, but plain
    # descent really is that slow.
    assert fast.margin[-1] > 0.98 * best and fast.weights @ direction > 0.999 * fast.norm[-1]
    assert 0.75 * best < plain.margin[-1] < fast.margin[-1]
    assert plain.margin[-1] > plain.margin[len(plain.margin) // 2]
    assert plain.loss[-1] == pytest.approx(np.mean(np.log1p(np.exp(-y * (X @ plain.weights)))))


def test_the_first_two_steps_of_logistic_descent():
    """From the derivative of the loss by central differences."""
    X, y, _, _ = two_classes()

    def gradient(w):
        steps = 1e-6 * np.eye(5)
        return (
            np.array([np.logaddexp(0, -y * (X @ (w + e))).mean() for e in steps]) / 2e-6
            - np.array([np.logaddexp(0, -y * (X @ (w - e))).mean() for e in steps]) / 2e-6
        )

    one, two = (linear.logistic_descent(X, y, steps=k).weights for k in (1, 2))
    rate = 4 * len(X) / np.linalg.eigvalsh(X.T @ X).max()
    np.testing.assert_allclose(one, -rate * gradient(np.zeros(5)), rtol=1e-6)  # eps / step = 2e-10, and step^2
    np.testing.assert_allclose(two, one - rate * gradient(one), rtol=1e-6)

    one, two = (linear.logistic_descent(X, y, steps=k, normalized=True).weights for k in (1, 2))
    rate = 1 / np.max(np.sum(X**2, axis=1))
    np.testing.assert_allclose(one, -rate * gradient(np.zeros(5)) / 0.5, rtol=1e-6)
    mean_s = np.mean(1 / (1 + np.exp(y * (X @ one))))
    np.testing.assert_allclose(two, one - rate * gradient(one) / mean_s, rtol=1e-6)


def test_logistic_descent_stays_finite_where_the_loss_underflows_and_where_nothing_separates():
    X, y, _, best = two_classes()
    path = linear.logistic_descent(100 * X, y, steps=30_000, normalized=True)
    assert path.loss[-1] == 0 and np.isfinite(path.weights).all() and path.margin[-1] > 99 * best
    cross = linear.logistic_descent(np.array([[1.0], [1.0]]), np.array([1, -1]), steps=10)
    assert cross.norm[-1] == 0 and cross.margin[-1] == 0 and cross.loss[-1] == pytest.approx(np.log(2))


@pytest.mark.parametrize("separate", [linear.perceptron, linear.logistic_descent])
def test_only_two_classes_are_separated(separate):
    X = np.ones((3, 2))
    for y in ([0, 1, 1], [1, -1, 2], [[1], [-1], [1]], [1, np.nan, 1]):
        with pytest.raises(InputError, match=r"2 \* y - 1|Y of point 1"):
            separate(X, np.array(y))
    with pytest.raises(InputError, match="all points are zero"):
        separate(0 * X, np.ones(3))
    with pytest.raises(InputError, match="does not fit"):
        separate(X, np.ones(2))


@pytest.mark.parametrize("scale", [1e-200, 1e160])
def test_units_of_the_targets_change_nothing(scale):
    X, y = np.random.default_rng(0).standard_normal((8, 12)), np.arange(1.0, 9.0)
    for method in (linear.gradient_descent, linear.kaczmarz):
        found, expected = method(X, y * scale), method(X, y)
        for name in ("distance", "limit_distance", "norm"):
            np.testing.assert_allclose(getattr(found, name) / scale, getattr(expected, name), rtol=1e-6, atol=1e-12)
        assert found.observed_factor == pytest.approx(expected.observed_factor, rel=1e-3)


@pytest.mark.parametrize("Y", [["a"] * 4, ["1"] * 4, [1j] * 4], ids=str)
def test_targets_that_are_no_numbers(Y):
    with pytest.raises(InputError, match="no real numbers"):
        linear.minimum_norm(np.eye(4), Y)


@pytest.mark.parametrize("wrong", [{"rate": "a"}, {"start": "a"}, {"start": np.full(4, 1j)}], ids=str)
def test_what_no_descent_begins_with(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        linear.gradient_descent(np.eye(4), np.ones(4), **wrong)


def test_passes_are_counted_in_whole_numbers():
    for passes in (2.5, -1):
        with pytest.raises(InputError, match="max_passes"):
            linear.perceptron(np.eye(4), np.ones(4), max_passes=passes)
