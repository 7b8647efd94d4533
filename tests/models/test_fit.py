"""fit takes what NumPy users have: lists, one output, functions as kernels."""

import numpy as np
import pytest

import kernelfit as kf
from kernelfit.common.errors import InputError, ScratchError
from kernelfit.common.progress import Progress
from kernelfit.grams.matrix import Gram, gram
from kernelfit.kernels import Gaussian
from kernelfit.models.fit import solve_first
from kernelfit.solvers.cholesky import Cholesky

X = np.random.default_rng(0).random((20, 2))
Y = np.sin(6 * X[:, 0])


def test_lists_are_arrays():
    copies = np.vstack([X, X[:3]]), np.append(Y, Y[:3])
    for kernel in (kf.Gaussian(), kf.Laplacian(bandwidth=0.5)):
        fitted, same = kf.fit(*copies, kernel), kf.fit(*[part.tolist() for part in copies], kernel)
        assert same.report.merged == 3 and same.norm == fitted.norm
        assert np.array_equal(same.function(X), fitted.function(X))


def test_a_kernel_is_a_kernel_a_text_or_a_function():
    from scipy.spatial.distance import cdist

    def laplacian(A, B):
        return np.exp(-cdist(A, B) / 0.5)

    right = kf.fit(X, Y, kf.Laplacian(bandwidth=0.5)).norm
    for kernel in ("laplacian(bandwidth=0.5)", laplacian):
        assert kf.fit(X, Y, kernel).norm == pytest.approx(right, rel=1e-9)
        assert kf.gram(X, kernel).shape == (20, 20)
    for kernel in (None, 3, kf.Gaussian, X):
        for ask in (lambda: kf.fit(X, Y, kernel), lambda: kf.gram(X, kernel)):  # noqa: B023
            with pytest.raises(InputError, match="kernel"):
                ask()


@pytest.mark.parametrize("points", [3, None, "a", [], [[1.0, 2.0], [3.0]], [["a", "b"]] * 20, X + 0j])
def test_points_that_are_none_are_refused(points):
    for ridge in (0.0, 0.1):
        with pytest.raises(InputError, match="points"):
            kf.fit(points, Y, kf.Gaussian(bandwidth=1.0), ridge=ridge)
    with pytest.raises(InputError, match="points"):
        kf.gram(points, kf.Gaussian(bandwidth=1.0))


@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
def test_a_run_that_was_killed_at_its_second_bandwidth_goes_on_there(tmp_path, monkeypatch, blocks):
    """The first kernel is singular on all points, and what the folder holds belongs to the second."""
    X = np.random.default_rng(0).standard_normal((300, 2))
    Y, wide, narrow = np.sin(X[:, :1]), Gaussian(bandwidth=8.0), Gaussian(bandwidth=0.05)
    real, made, notes = Gram.block, [], []

    class Told(Progress):
        note = staticmethod(notes.append)

    def solve(resume, most, X=X):
        def block(self, *arguments, **options):
            made.append(self.kernel)
            if made.count(narrow) > most:
                raise KeyboardInterrupt
            return real(self, *arguments, **options)

        monkeypatch.setattr(Gram, "block", block)
        solver = Cholesky(storage="disk", scratch=tmp_path, resume=resume)
        K, factor, solution, _ = solve_first(gram(X, wide), Y, solver, others=[narrow], progress=Told())
        with factor:
            return K.kernel, solution.coef

    with pytest.raises(KeyboardInterrupt):
        solve(False, blocks)
    there = any(tmp_path.glob("*/header.json"))
    if there:  # something of the second kernel is there, which no other points go on with
        with pytest.raises(ScratchError, match="of another problem"):
            solve(True, 10**9, X + 1)
    kernel, coef = solve(True, 10**9)
    assert kernel == narrow and there == any("went on with" in note and str(narrow) in note for note in notes)
    np.testing.assert_allclose(coef, np.linalg.solve(gram(X, narrow).block((0, 300), (0, 300)), Y), atol=1e-8)


@pytest.mark.parametrize("solver", [kf.Cholesky(precision="mixed"), kf.ConjugateGradients(), kf.Cholesky()], ids=str)
def test_of_smooth_targets_the_best_bandwidth_that_the_solver_can_do_is_taken(solver):
    X = np.random.default_rng(1).random((200, 2))
    y = np.sin(3 * X[:, 0]) + (X**2).sum(axis=1)
    found = kf.fit(X, y, "gaussian", solver)
    assert found.report.relative_residual < 1e-8
    assert found.function.kernel.bandwidth in found.report.bandwidth_choice.bandwidths
    passed = [warning for warning in found.report.warnings if "was passed over" in warning]
    assert bool(passed) is not (solver == kf.Cholesky()), "in float64 the choice is that of float64"
    np.testing.assert_allclose(found.function(X)[:, 0], y, atol=1e-7)
