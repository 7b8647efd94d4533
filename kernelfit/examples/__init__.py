"""Short scripts on scikit-learn's digits, for a lesson on the paper: `python -m kernelfit.examples.random_labels`.

* `fit_and_norm`: the interpolant of least norm, and its norm by three routes
* `random_labels`: the same kernel fits true labels and random ones
* `leave_one_out`: the exact leave-one-out error, beside the test error
* `sweep`: test error and norm as more and more labels are replaced
* `own_kernel`: a kernel that you write yourself, and one that is none
* `grid_search`: bandwidth and ridge by scikit-learn's GridSearchCV; a ridge does not help
* `randomization`: the randomization test of a random forest
* `net`: a neural net on true and on random labels, and how long each takes
"""
