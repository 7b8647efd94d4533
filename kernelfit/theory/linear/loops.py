"""Loops that must run one row after another, compiled.

No sum is reordered, so that the same seed gives the same bits.
"""

import numpy as np
import numpy.typing as npt

from kernelfit.backend.native import native


@native()
def row_steps(
    X: npt.NDArray[np.float64],
    Y: npt.NDArray[np.float64],
    W: npt.NDArray[np.float64],
    gains: npt.NDArray[np.float64],
    rows: npt.NDArray[np.int64],
) -> None:
    """Overwrite W with W + gains[i] x_i (y_i - x_i^T W) for i in rows; X (n, d), Y (n, r), W transposed (r, d)."""
    for i in rows:
        x = X[i]
        for c in range(W.shape[0]):
            w = W[c]
            inner = 0.0
            for k in range(len(x)):
                inner += x[k] * w[k]
            step = gains[i] * (Y[i, c] - inner)
            for k in range(len(x)):
                w[k] += step * x[k]


@native()
def perceptron_passes(
    X: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    w: npt.NDArray[np.float64],
    passes: int,
    mistakes: npt.NDArray[np.int64],
) -> int:
    """Overwrite w with w + y_i x_i where y_i <w, x_i> <= 0, pass after pass, at most `passes`; return how many it took.

    mistakes (2,) int64 gets those of all passes and those of the last, 0 where w now separates the points.
    """
    mistakes[0] = 0
    for done in range(passes):
        mistakes[1] = 0
        for i in range(len(X)):
            x = X[i]
            inner = 0.0
            for k in range(len(x)):
                inner += x[k] * w[k]
            if y[i] * inner <= 0.0:
                mistakes[1] += 1
                for k in range(len(x)):
                    w[k] += y[i] * x[k]
        mistakes[0] += mistakes[1]
        if mistakes[1] == 0:
            return done + 1
    return passes
