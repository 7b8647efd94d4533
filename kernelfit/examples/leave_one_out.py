"""Leave each image out in turn, without fitting again, and compare with images never seen.

One factorisation of K gives the exact leave-one-out prediction of every training image. The training error is 0 and
says nothing; the leave-one-out error, from the same images alone, comes near the test error. But only where the test
images are like the training images: drawn at random from the same heap they are, while the last images of the file
are harder than the rest. No estimate that is made from training images can know that.
"""

import numpy as np

import kernelfit as kf

data = kf.load_dataset("digits")  # the last 360 images of the file are the test
X = np.concatenate([data.X_train, data.X_test]).reshape(-1, 64)
y = np.concatenate([data.y_train, data.y_test])
splits = {"random order": np.random.default_rng(0).permutation(len(X)), "order of the file": np.arange(len(X))}

loo_error, test_error = {}, {}
for name, order in splits.items():
    train, test = order[:-360], order[-360:]
    Y = np.eye(10)[y[train]]
    found = kf.fit(X[train], Y, kf.Gaussian(bandwidth=1.5), loo=True)
    left_out = Y - found.loo_residuals  # what each image is predicted to be by all others
    loo_error[name] = np.mean(left_out.argmax(axis=1) != y[train])
    test_error[name] = np.mean(found.function(X[test]).argmax(axis=1) != y[test])
    print(f"{name}: leave-one-out error {loo_error[name]:.2%}, test error {test_error[name]:.2%}")
