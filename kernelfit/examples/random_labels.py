"""Replace every label by a random one: the kernel fits these as well, and pays with its norm.

This is the paper's central experiment. The same kernel, on the same images, reaches training error 0 on labels that
mean nothing. So "it is too simple to memorise" cannot be why it does well on true labels. What tells the two fits
apart without a test set is the norm.
"""

import kernelfit as kf

data = kf.load_dataset("digits")
X, X_test = data.X_train.reshape(-1, 64), data.X_test.reshape(-1, 64)

train_error, test_error, norm = {}, {}, {}
for labels in ("true", "random"):
    corrupted = kf.corrupt(X, data.y_train, X_test, n_classes=10, labels=labels, seed=0)
    model = kf.KernelInterpolationClassifier(bandwidth=1.5).fit(X, corrupted.y_train)
    train_error[labels] = 1 - model.score(X, corrupted.y_train)
    test_error[labels] = 1 - model.score(X_test, data.y_test)  # test labels are never touched
    norm[labels] = model.norm_
    print(
        f"{labels:>6} labels: training error {train_error[labels]:.1%}, test error {test_error[labels]:.1%}, "
        f"norm {norm[labels]:.1f}"
    )
print(f"random labels need {norm['random'] / norm['true']:.1f} times the norm")
