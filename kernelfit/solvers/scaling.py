"""Columns brought to size 1 by powers of two: no digit changes, and no square over- or underflows."""

import numpy as np
import numpy.typing as npt


def exponents_of(V: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return integers e, one for each column of V (n, r), with 2^e <= its largest entry < 2^(e + 1); 0 for zeros."""
    largest = np.maximum(V.max(axis=0, initial=0.0), -V.min(axis=0, initial=0.0))
    return np.where(largest > 0, np.frexp(largest)[1] - 1, 0)


def exponent_of(V: npt.NDArray[np.float64]) -> int:
    """Return one integer e for all columns of V, where they must keep their proportions: 2^e above its largest entry.

    0 for zeros.
    """
    return int(np.frexp(np.abs(V).max(initial=0.0))[1])


def in_units(V: npt.NDArray[np.float64], exponents: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Return V with its columns times 2^exponents, and V itself where all of these are 0.

    With -exponents_of(V), every column comes to size 1.
    """
    with np.errstate(over="ignore"):
        return np.ldexp(V, exponents) if exponents.any() else V


def column_norms(V: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the Euclidean norm of each column of V, whatever its units."""
    exponents = exponents_of(V)
    V = in_units(V, -exponents)
    return in_units(np.sqrt(np.einsum("ij,ij->j", V, V)), exponents)


def inner_products(
    U: npt.NDArray[np.float64], V: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Return (m, e) with the inner products m 2^e of the columns of U and V."""
    e, f = exponents_of(U), exponents_of(V)
    return np.einsum("ij,ij->j", in_units(U, -e), in_units(V, -f)), e + f


def column_roots(squares: npt.NDArray[np.float64], exponents: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Return the roots of squares 2^exponents, shape (r,); NaN of negative ones, which rounding may leave."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.ldexp(np.sqrt(np.ldexp(squares, exponents % 2)), exponents // 2)


def relative_residuals(Y: npt.NDArray[np.float64], reached: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return |Y_j - reached_j| / |Y_j| for each column j, shape (r,), or without the division where Y_j = 0.

    Examples
    --------
    >>> import numpy as np
    >>> relative_residuals(np.array([[1e200, 1.0], [0.0, 0.0]]), np.array([[1e200, 0.5], [0.0, 0.0]])).tolist()
    [0.0, 0.5]
    """
    size = column_norms(Y)
    return column_norms(Y - reached) / np.where(size == 0, 1.0, size)
