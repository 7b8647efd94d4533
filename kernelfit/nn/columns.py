"""Tables for nets: each column less its mean, over its deviation, both of the training examples."""

import dataclasses

import numpy as np

_NUMBERS = 2**22  # made in float64 at a time: 32 MB


@dataclasses.dataclass(frozen=True)
class Columns:
    """What standardises the columns of a table: x becomes (x / largest - mean) / deviation.

    The division by the largest absolute value comes first, so that no square overflows or vanishes.

    Attributes
    ----------
    largest, mean, deviation : float64 array, shape (d,)
        Of x, and of x / largest; the deviation of a constant column is 1, which leaves 0 of it.
    """

    largest: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, X):
        """Return the Columns of a table X (n, d)."""
        n, d = X.shape
        largest, mean, deviation = np.ones((3, d))
        step = max(1, _NUMBERS // n)
        for part in (slice(start, start + step) for start in range(0, d, step)):
            x = X[:, part].astype(np.float64)
            most = np.abs(x).max(axis=0)
            varies = x.min(axis=0) < x.max(axis=0)
            largest[part] = np.where(most > 0, most, 1.0)
            x /= largest[part]
            mean[part] = np.where(varies, x.mean(axis=0), x[0])
            deviation[part] = np.where(varies, x.std(axis=0), 1.0)
        return cls(largest, mean, deviation)

    def standardised(self, X):
        """Return the columns of a table X (m, d) standardised, float32; made in float64, as little may be left."""
        out = np.empty(X.shape, np.float32)
        step = max(1, _NUMBERS // X.shape[1])
        for part in (slice(start, start + step) for start in range(0, len(X), step)):
            with np.errstate(over="ignore"):  # the caller looks for what float32 cannot hold
                out[part] = (X[part] / self.largest - self.mean) / self.deviation
        return out
