"""What the programs of this room fit: targets of any kind, one row for each point."""

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError


def checked_targets(Y: npt.ArrayLike, n: int) -> npt.NDArray[np.float64]:
    """Return targets as float64, shape (n,) or (n, r); raises InputError unless they have that shape and are finite."""
    targets = np.asarray(Y)
    if targets.dtype.kind not in "fiub":
        raise InputError(f"targets of dtype {targets.dtype} are no real numbers; one_hot makes such of labels")
    targets = targets.astype(np.float64)
    if targets.ndim not in (1, 2) or len(targets) != n or 0 in targets.shape:
        raise InputError(
            f"targets of shape {targets.shape} do not fit {n} points; give shape ({n},), or ({n}, r) for r outputs "
            "(kernelfit.datasets.labels.one_hot makes them of labels)"
        )
    if not np.isfinite(targets).all():
        raise InputError(f"the targets of point {np.argwhere(~np.isfinite(targets))[0][0]} are NaN or infinite")
    return targets
