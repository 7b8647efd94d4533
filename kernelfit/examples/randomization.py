"""Ask a random forest whether it can fit random labels.

The randomization test needs fit and predict alone, so it works for any classifier. A forest of full-grown trees fits
labels that mean nothing, exactly as a kernel or a net does; stop its trees at 5 levels and it cannot, but then it does
worse on true labels too. The power to memorise and the power to learn are not opposites.
"""

from sklearn.ensemble import RandomForestClassifier

import kernelfit as kf

data = kf.load_dataset("digits")
X, X_test = data.X_train.reshape(-1, 64), data.X_test.reshape(-1, 64)

results = {}
for depth in (None, 5):
    forest = RandomForestClassifier(n_estimators=50, max_depth=depth)
    results[depth] = kf.randomization_test(
        forest, X, data.y_train, X_test=X_test, y_test=data.y_test, levels=(0, 1), seeds=(0, 1)
    )
    print(f"depth {depth}: {results[depth].verdict}")
    for level in results[depth].summary:
        print(f"  {level.level:.0%} of labels replaced: test error {level.test_error[0]:.1%}")
