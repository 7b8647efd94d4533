"""Write a kernel of your own, and see one refused that is none.

A kernel is a function of two blocks of points. The rational quadratic is a mixture of Gaussians of all widths, and
interpolates as well as one of them. The hyperbolic tangent of an inner product is often called a kernel too, but its
matrix has negative eigenvalues: there is no norm then, and nothing to minimise. The fit says so; it returns no number.
"""

import numpy as np
from scipy.spatial.distance import cdist

import kernelfit as kf
from kernelfit.common.errors import SingularMatrixError

data = kf.load_dataset("digits")
X, X_test = data.X_train.reshape(-1, 64), data.X_test.reshape(-1, 64)
kernels = {
    "rational quadratic": lambda A, B: 1 / (1 + cdist(A, B, "sqeuclidean") / 4),
    "hyperbolic tangent": lambda A, B: np.tanh(A @ B.T / 4 - 1),
}
models, refused = {}, {}
for name, kernel in kernels.items():
    try:
        models[name] = kf.KernelInterpolationClassifier(kernel=kernel).fit(X, data.y_train)
        print(f"{name}: training score {models[name].score(X, data.y_train)}, norm {models[name].norm_:.1f}")
        print(f"{name}: test error {1 - models[name].score(X_test, data.y_test):.1%}")
    except SingularMatrixError as error:
        refused[name] = error
        print(f"{name}: refused, since {error}")
