"""Solves from products alone: the answer of numpy, what is said of its error, and going on with what was kept."""

import numpy as np
import pytest

from kernelfit.common.errors import InputError, NotConvergedError, NotEnoughDiskError, ScratchError, WorkersLostError
from kernelfit.common.progress import Progress
from kernelfit.solvers.checkpoint import Checkpoint, has_state
from kernelfit.solvers.conjugate_gradients import ConjugateGradients, ConjugateGradientsFactor
from kernelfit.solvers.low_rank import Preconditioner
from tests.support.problems import as_gram, symmetric_matrix

N = 120


def problem(condition=1e4, ridge=0.0, outputs=3):
    matrix, _ = symmetric_matrix(N, condition)
    Y = np.random.default_rng(1).standard_normal((N, outputs))
    return as_gram(matrix), Y, np.linalg.inv(matrix + ridge * np.eye(N))


def best_preconditioner(K, rank, ridge=0.0):
    """The leading eigenvectors; what is left has them removed."""
    values, vectors = np.linalg.eigh(K.points.K)
    shift = values[: N - rank].sum() / N
    return Preconditioner(vectors[:, N - rank :], values[N - rank :], ridge, shift)


def solved(K, Y, M, *, ridge=0.0, operator=None, **options):
    """Return the Solution with a preconditioner of our own."""
    factor = ConjugateGradientsFactor(K, ConjugateGradients(**options), ridge=ridge, method="", operator=operator)
    factor.M = M
    with factor:
        return factor.solve(Y)


class Counted:
    """A matrix that counts its products, and fails after some."""

    def __init__(self, K, most=np.inf, error=1.0):
        self.K, self.most, self.error, self.count = K, most, error, 0

    def product(self, V, *, progress=None):
        if self.count >= self.most:
            raise WorkersLostError("gone")
        self.count += 1
        return self.K.product(V) * self.error

    def product_and_norm(self, V, *, progress=None):
        return self.K.product_and_norm(V)


@pytest.mark.parametrize("condition", [1e1, 1e4, 1e6])
@pytest.mark.parametrize("ridge", [0.0, 1e-3])
@pytest.mark.parametrize("rank", [0, 20])
def test_answer_and_error_bar(condition, ridge, rank):
    K, Y, inverse = problem(condition, ridge)
    done = solved(K, Y, best_preconditioner(K, rank, ridge), ridge=ridge, tolerance=1e-9)
    exact = inverse @ Y
    residual = Y - K.points.K @ done.coef - ridge * done.coef
    relative = np.linalg.norm(residual, axis=0) / np.linalg.norm(Y, axis=0)
    np.testing.assert_allclose(done.residual_per_output, relative, atol=1e-14 * condition)
    assert relative.max() <= 1e-9 and done.relative_residual <= 1e-9
    assert done.report["residual_per_output"] == done.residual_per_output.tolist()
    assert np.linalg.norm(done.coef - exact) <= 2e-9 * condition * np.linalg.norm(Y)
    norm, true = (np.sqrt(np.sum(coef * (K.points.K @ coef))) for coef in (done.coef, exact))
    rounding = 1e-14 * condition * true
    assert abs(norm - true) <= done.report["norm_error"] + rounding
    error = done.coef - exact
    energy = np.sqrt(np.sum(error * (K.points.K @ error + ridge * error)))
    assert energy <= done.report["norm_error"] + rounding
    assert done.report["norm_error_is"] == ("bound" if ridge else "estimate")
    if rank or not ridge:  # without both, the smallest eigenvalue is all that is known of the matrix
        assert done.report["norm_error"] <= 1e4 * energy + rounding


def test_the_error_bar_is_honest_at_every_stage():
    """Ended early by a large tolerance, the bar must still cover the error."""
    for ridge in (0.0, 1e-2):
        K, Y, inverse = problem(1e5, ridge)
        exact = inverse @ Y
        for tolerance in np.geomspace(0.5, 1e-8, 12):
            done = solved(K, Y, best_preconditioner(K, 10, ridge), ridge=ridge, tolerance=tolerance)
            norm, true = (np.sqrt(np.sum(coef * (K.points.K @ coef))) for coef in (done.coef, exact))
            assert abs(norm - true) <= done.report["norm_error"] + 1e-9 * true


def test_what_rounding_spoils_is_begun_anew_from_the_truth():
    """The recurrence believes a product that is slightly wrong; the check does not, and in the end both agree."""
    K, Y, _ = problem(1e2)
    wrong = Counted(K, error=1 + 1e-5)
    done = solved(K, Y, best_preconditioner(K, 10), operator=wrong, tolerance=1e-8)
    assert done.report["restarts"] >= 1 and max(done.residual_per_output) <= 1e-8


def test_not_converged_keeps_its_state_and_goes_on(tmp_path):
    K, Y, _ = problem(1e5)
    M = best_preconditioner(K, 10)
    with pytest.raises(NotConvergedError, match=r"too few `steps`.*`resume`"):
        solved(K, Y, M, steps=9, scratch=tmp_path)
    with pytest.raises(NotConvergedError, match="No state was kept"):
        solved(K, Y, M, steps=9)
    counted = Counted(K)
    done = solved(K, Y, M, operator=counted, scratch=tmp_path, resume=True)
    whole = solved(K, Y, M)
    assert done.report["resumed_steps"] == 9 and counted.count == whole.report["steps"] - 9
    assert np.array_equal(done.coef, whole.coef) and done.report["residuals"] == whole.report["residuals"]
    assert not has_state(tmp_path) and not list(tmp_path.iterdir())


def test_a_state_that_a_full_disk_did_not_take_is_told(tmp_path, monkeypatch):
    K, Y, _ = problem()
    notes, progress = [], Progress()
    progress.note = notes.append
    factor = ConjugateGradients(scratch=tmp_path).factor(K, progress=progress)

    def full(*arguments):
        raise NotEnoughDiskError("no space left")

    monkeypatch.setattr(Checkpoint, "save", full)
    with factor:
        done = factor.solve(Y, progress=progress)
    assert done.relative_residual <= 1e-8 and notes[-1] == "the state of this solve is not kept: no space left"
    assert not list(tmp_path.iterdir())


def test_a_run_killed_at_later_targets_has_the_earlier_ones(tmp_path):
    """A trend is solved twice with one factor; what the first one took is not lost, and neither refuses the other's."""
    K, Y, _ = problem(1e5)
    M, options = best_preconditioner(K, 10), {"scratch": tmp_path, "tolerance": 1e-9}

    def made(operator, **more):
        factor = ConjugateGradientsFactor(
            K, ConjugateGradients(**options, **more), ridge=0, method="", operator=operator
        )
        factor.M = M
        return factor

    first, second = (solved(K, targets, M, tolerance=1e-9) for targets in (Y, Y[::-1]))
    with pytest.raises(WorkersLostError), made(Counted(K, first.report["steps"] + 4)) as factor:
        factor.solve(Y)
        factor.solve(Y[::-1])
    counted = Counted(K)
    with made(counted, resume=True) as factor:
        again, other = factor.solve(Y), factor.solve(Y[::-1])
    assert counted.count == second.report["steps"] - 4
    assert np.array_equal(again.coef, first.coef) and np.array_equal(other.coef, second.coef)
    assert not list(tmp_path.iterdir())


def test_a_solve_that_failed_does_not_stand_in_the_way_of_others(tmp_path):
    K, Y, _ = problem(1e5)
    solver = ConjugateGradients(scratch=tmp_path, steps=9)
    with ConjugateGradientsFactor(K, solver, ridge=0, method="") as factor:
        factor.M = best_preconditioner(K, 10)
        for _ in range(2):
            with pytest.raises(NotConvergedError):
                factor.solve(Y)
        assert not factor.solve(0 * Y).coef.any()


def test_what_cannot_be_reached_is_said():
    K, Y, _ = problem(1e12)
    with pytest.raises(NotConvergedError, match="rounding"):
        solved(K, Y, best_preconditioner(K, 0), tolerance=1e-15, steps=5000)


@pytest.mark.parametrize("most", [0, 1, 7])
def test_lost_products_keep_the_state(tmp_path, most):
    K, Y, _ = problem(1e5)
    M = best_preconditioner(K, 10)
    with pytest.raises(WorkersLostError):
        solved(K, Y, M, operator=Counted(K, most), scratch=tmp_path)
    done = solved(K, Y, M, scratch=tmp_path, resume=True)
    assert done.report["resumed_steps"] == most
    assert np.array_equal(done.coef, solved(K, Y, M).coef)


def test_another_preconditioner_goes_on_from_the_coefficients(tmp_path):
    K, Y, _ = problem(1e5)
    with pytest.raises(NotConvergedError):
        solved(K, Y, best_preconditioner(K, 5), steps=30, scratch=tmp_path)
    done = solved(K, Y, best_preconditioner(K, 60), scratch=tmp_path, resume=True)
    assert done.report["resumed_steps"] == 30 and max(done.residual_per_output) <= 1e-8


def test_outputs_of_all_sizes_are_each_solved():
    K, Y, _ = problem(1e3)
    Y = np.hstack([Y * [1e-100, 1.0, 1e10], np.zeros((N, 1)), Y[:, :1]])
    done = solved(K, Y, best_preconditioner(K, 10))
    assert max(done.residual_per_output) <= 1e-8 and not done.coef[:, 3].any()


def test_nothing_to_solve():
    K, Y, _ = problem()
    done = solved(K, 0 * Y, best_preconditioner(K, 10))
    assert not done.coef.any() and done.report["norm_error"] == 0


def test_a_state_is_used_only_for_its_problem_and_only_when_asked(tmp_path):
    kept = Checkpoint(tmp_path, {"n": 1})
    with pytest.raises(ScratchError, match="in use"):
        Checkpoint(tmp_path, {"n": 1})
    kept.save({"X": np.arange(3.0)}, {"a": 1})
    kept.close()
    with pytest.raises(ScratchError, match="`resume=True`"):
        Checkpoint(tmp_path, {"n": 1})
    with pytest.raises(ScratchError, match=r"another problem.*n 1 there, 2 here"):
        Checkpoint(tmp_path, {"n": 2}, resume=True)
    again = Checkpoint(tmp_path, {"n": 1}, resume=True)
    arrays, facts = again.found
    assert arrays["X"].tolist() == [0, 1, 2] and facts == {"a": 1}
    again.close()
    path = again.folder / "state.bin"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(ScratchError, match="damaged"):
        Checkpoint(tmp_path, {"n": 1}, resume=True)


def test_a_state_is_due_from_time_to_time(tmp_path):
    now = 0.0
    kept = Checkpoint(tmp_path, {}, clock=lambda: now)
    assert not kept.due
    now = 31.0
    assert kept.due
    kept.save({}, {})
    assert not kept.due
    kept.remove()
    assert not list(tmp_path.iterdir())


def test_a_state_of_other_targets_or_of_another_matrix_is_refused(tmp_path):
    K, Y, _ = problem(1e5)
    with pytest.raises(NotConvergedError):
        solved(K, Y, best_preconditioner(K, 5), steps=3, scratch=tmp_path)
    for other, targets, name in ((K, Y + 1, "targets"), (as_gram(2 * K.points.K), Y, "matrix")):
        with pytest.raises(ScratchError, match=f"another problem .*{name}"):
            solved(other, targets, best_preconditioner(K, 5), scratch=tmp_path, resume=True)


@pytest.mark.parametrize("wrong", [{"tolerance": 0.0}, {"tolerance": 2.0}, {"steps": 0}, {"rank": -1}], ids=str)
def test_settings_are_checked(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        ConjugateGradients(**wrong)
