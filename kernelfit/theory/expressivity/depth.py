"""The corollary of Theorem 1: the same function as a network of depth k, width O(n / k) and O(n + d) weights."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError
from kernelfit.common.validation import check_integer
from kernelfit.theory.expressivity.network import Network


@dataclasses.dataclass(frozen=True)
class Layer:
    """One affine map h -> matrix h + bias; relu follows it, unless it is the last.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array, shape (out, in)
    bias : float64 array, shape (out,)
    """

    matrix: Any
    bias: np.ndarray

    @property
    def width(self) -> int:
        """Number of units."""
        return len(self.bias)

    @property
    def n_weights(self) -> int:
        """Entries of the matrix and biases that are not zero."""
        return int(self.matrix.count_nonzero() + np.count_nonzero(self.bias))


def deepen(network: Network, depth: int) -> list[Layer]:
    """Return a Network's function of z = <a, x> as `depth` Layers of width at most ceil(n / (depth - 1)) + 1 + 2 r.

    The n knots are cut into depth - 1 groups of neighbours, one for each hidden layer. Its units are relu(z - b_j) for
    the knots of its group, and what later layers need,

        u = relu(z - b_1),                     since  relu(z - b_j) = relu(u - (b_j - b_1)),
        p = relu(t) and q = relu(-t),          since  t = p - q,

    where t, one for each of r outputs, is the sum of w_j relu(z - b_j) over all earlier groups. The last layer adds up.
    At most 2 n + 2 n r + O(depth r) weights are not zero, besides the d of a. The sums round like
    Network.summed_outputs.

    Parameters
    ----------
    network : Network
        Of n knots and r outputs.
    depth : int
        Number of affine maps from z on; 2 is the network of Theorem 1 itself.

    Raises
    ------
    InputError
        depth is not between 2, one hidden layer, and n + 1, one knot in each.
    """
    n, r = network.slopes.shape
    try:
        check_integer("depth", depth, 2, n + 1)
    except InputError as error:
        raise InputError(f"depth = {depth}; {n} points allow a depth from 2 (one hidden layer) to {n + 1}") from error
    from scipy.sparse import csr_array, eye_array, hstack, vstack

    groups = np.array_split(np.arange(n), depth - 1)
    weights, first_knot = network.weights, network.knots[0]
    # Rows that read z or u, and t, from the units of the layer before; what u has already had subtracted.
    position: Any = csr_array(np.ones((1, 1)))
    total: Any = None
    shift = 0.0
    layers = []
    for group in groups:
        first, last = group[0] == 0, group[-1] == n - 1
        rows = [csr_array(np.ones((len(group), 1))) @ position]
        bias: list[Any] = [shift - network.knots[group]]
        read = [csr_array(weights[group].T)]
        if not last:
            rows.append(position)
            bias.append([shift - first_knot])
            read.append(csr_array((r, 1)))
        if not first:
            rows += [total, -total]
            bias.append(np.zeros(2 * r))
            read += [eye_array(r), -eye_array(r)]
        layers.append(Layer(vstack(rows, format="csr"), np.concatenate(bias)))
        total = hstack(read, format="csr")
        position = csr_array(([1.0], ([0], [len(group)])), shape=(1, layers[-1].width)) if not last else None
        shift = first_knot
    return [*layers, Layer(total, np.zeros(r))]


def apply_layers(layers: Sequence[Layer], z: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the outputs, shape (m, r), of Layers with relu between them on the projections z, shape (m,)."""
    h = np.asarray(z, dtype=np.float64)[None, :]
    for layer in layers[:-1]:
        h = np.maximum(layer.matrix @ h + layer.bias[:, None], 0)
    return (layers[-1].matrix @ h + layers[-1].bias[:, None]).T
