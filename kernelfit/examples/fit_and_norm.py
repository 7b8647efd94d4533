"""Fit every training image exactly, and read the norm of the function that does it.

Of all functions that a Gaussian kernel can make and that pass through the labels, the one with K coef = Y has the
least norm. The paper (section 5) asks whether this norm explains why such a function generalises. Here it is computed
by three routes that have little in common; where they agree, the linear algebra can be trusted.
"""

import numpy as np

import kernelfit as kf

data = kf.load_dataset("digits")
X, X_test = data.X_train.reshape(-1, 64), data.X_test.reshape(-1, 64)
Y = np.eye(10)[data.y_train]  # 1 for the own class, 0 for the others

found = kf.fit(X, Y, kf.Gaussian(bandwidth=1.5))
train_error = np.mean(found.function(X).argmax(axis=1) != data.y_train)
test_error = np.mean(found.function(X_test).argmax(axis=1) != data.y_test)
print(f"{len(X)} images: training error {train_error:.1%}, test error {test_error:.1%}")

coef = found.function.coef
by_matrix = np.sqrt(np.sum(coef * kf.gram(X, kf.Gaussian(bandwidth=1.5)).product(coef)))  # coef^T K coef
by_labels = np.sqrt(np.sum(coef * Y))  # the same, since K coef = Y
norm = found.norm  # by the factor of K, as Y^T K^-1 Y
print(f"norm {norm:.6f}, from K {by_matrix:.6f}, from the labels {by_labels:.6f}")
print(f"largest error of K coef = Y, relative to Y: {found.report.relative_residual:.0e}")
