"""A fit tells scikit-learn's callbacks what it does, from the version on that has them."""

import numpy as np
import pytest

from kernelfit import KernelInterpolationClassifier, KernelInterpolator, KernelInterpolatorCV
from kernelfit.common.errors import SingularMatrixError

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")
X = np.random.default_rng(0).standard_normal((80, 3))
Y = np.sin(X[:, 0])


class Listener:
    """Keeps what it hears."""

    def __init__(self):
        self.begun, self.ended, self.open = [], [], 0

    def setup(self, estimator, context):
        self.open += 1

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context)

    def on_fit_task_end(self, estimator, context):
        self.ended.append(context)

    def teardown(self, estimator, context):
        self.open -= 1


@pytest.mark.parametrize(
    ("model", "phase"),
    [
        (KernelInterpolator(bandwidth=1.0), "factor"),
        (KernelInterpolationClassifier(bandwidth=1.0, loo=True), "leave-one-out"),
        (KernelInterpolator(optimize="likelihood", bandwidth=1.0, ridge=0.1), "factor"),
        (KernelInterpolatorCV(bandwidths=(1.0, 2.0), ridges=(0.1,)), "cross-validation"),
    ],
)
def test_every_phase_is_a_task_of_steps(model, phase):
    listener = Listener()
    targets = Y > 0 if isinstance(model, KernelInterpolationClassifier) else Y
    model.set_callbacks(listener).fit(X, targets)
    assert listener.open == 0 and set(listener.begun) == set(listener.ended)
    root = listener.begun[0]
    assert root.task_name == "fit" and listener.ended[-1] is root
    tasks = {task.task_name: task for task in listener.begun if task.parent is root}
    steps = [task for task in listener.begun if task.parent is tasks[phase]]
    assert len(steps) == tasks[phase].max_subtasks == 20 and steps[-1].task_name == "100 %"
    silent = type(model)(**model.get_params()).fit(X, targets)
    assert np.array_equal(silent.predict(X), model.predict(X))


def test_callbacks_are_let_go_after_a_failure():
    listener = Listener()
    with pytest.raises(SingularMatrixError):
        KernelInterpolator("linear").set_callbacks(listener).fit(X, Y)
    assert listener.open == 0 and listener.begun[0] not in listener.ended


def test_the_bar_of_scikit_learn_shows_a_fit(capsys):
    KernelInterpolator(bandwidth=1.0).set_callbacks(callback.ProgressBar()).fit(X, Y)
    assert "factor" in capsys.readouterr().out
