"""Let scikit-learn choose bandwidth and ridge by cross-validation, and see whether a ridge helps.

An interpolating kernel is an estimator like any other, so GridSearchCV works on it. A ridge is explicit regularisation:
the larger it is, the less of the labels is fitted. The paper finds that it improves little or nothing, which you can
read off the table: for a good bandwidth the best ridge is none, or one that makes no difference.
"""

from sklearn.model_selection import GridSearchCV, StratifiedKFold

import kernelfit as kf

data = kf.load_dataset("digits", n_train=500)
X, X_test = data.X_train.reshape(-1, 64), data.X_test.reshape(-1, 64)
bandwidths, ridges = [0.75, 1.5, 3.0], [0.0, 0.01, 1.0]
search = GridSearchCV(
    kf.KernelInterpolationClassifier(),
    {"bandwidth": bandwidths, "ridge": ridges},
    cv=StratifiedKFold(3, shuffle=True, random_state=0),
).fit(X, data.y_train)

scores = search.cv_results_["mean_test_score"].reshape(len(bandwidths), len(ridges))
for bandwidth, row in zip(bandwidths, scores, strict=True):
    shown = ", ".join(f"{1 - score:.1%} with ridge {ridge}" for ridge, score in zip(ridges, row, strict=True))
    print(f"bandwidth {bandwidth}: error {shown}")
gain = scores.max() - scores[:, 0].max()  # over the best fit without a ridge
print(f"best: {search.best_params_}; a ridge gains {gain:.1%}; test error {1 - search.score(X_test, data.y_test):.1%}")
