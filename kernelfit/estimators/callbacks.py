"""Progress of a fit through the callbacks of scikit-learn 1.9 and later: `model.set_callbacks(ProgressBar())`.

The task of a fit has a subtask for each phase of the work, each with 20 steps of equal shares of its time.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from kernelfit.common.progress import Amount, Pace, Progress, make_progress

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # an earlier scikit-learn, whose estimators have no callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to set."""

    def with_callbacks(method):
        """Return the method."""
        return method


_STEPS = 20


class TellsCallbacks(CallbackSupportMixin):
    """An estimator whose fit tells its callbacks how far it is."""

    verbose: bool

    @with_callbacks
    def _told(self, work: Callable[[Progress], Any], X: Any, y: Any) -> Any:
        """Return work(progress), the work of a fit to X and y."""
        shown = make_progress(not self.verbose)
        if not getattr(self, "_skl_callbacks", None):
            return work(shown)
        context = self._init_callback_context(max_subtasks=None)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        done = work(_CallbackProgress(shown, self, context))
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return done


class _CallbackProgress(Progress):
    """Shows what another Progress shows, and tells callbacks."""

    def __init__(self, shown, estimator, context):
        self._shown, self._estimator, self._context, self._lock = shown, estimator, context, threading.Lock()
        self.expect, self.note = shown.expect, shown.note

    @contextlib.contextmanager
    def phase(
        self, name: str, total: Amount, *, done: Amount = 0, at_most: bool = False
    ) -> Iterator[Callable[..., None]]:
        pace, steps = Pace(total, done, time.monotonic()), 0
        with (
            self._shown.phase(name, total, done=done, at_most=at_most) as show,
            self._task(self._context, name) as task,
        ):

            def advance(amount, detail="", kind=""):
                nonlocal steps
                show(amount, detail, kind)
                with self._lock:
                    pace.add(amount, kind, time.monotonic())
                    share = pace.share() if pace.known else 0.0
                    while steps < int(_STEPS * share):
                        steps += 1
                        with self._task(task, f"{100 * steps // _STEPS} %", leaf=True):
                            pass

            yield advance

    @contextlib.contextmanager
    def _task(self, parent, name, leaf=False):
        task = parent.subcontext(task_name=name, max_subtasks=0 if leaf else _STEPS)
        task.call_on_fit_task_begin(estimator=self._estimator)
        yield task
        task.call_on_fit_task_end(estimator=self._estimator)
