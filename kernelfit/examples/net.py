"""Train a neural net on true and on random labels, and count the passes over the data that it needs.

The paper's figure 1a: nothing but the labels changes, neither the net nor its learning rate, and random labels are
fitted to the last one as well. It takes several times as many passes, not thousands of times: memorising is hardly
harder than learning. Needs PyTorch: pip install 'kernelfit[nn]'.
"""

import kernelfit as kf
from kernelfit.nn import NetClassifier

data = kf.load_dataset("digits")
X, X_test = data.X_train.reshape(-1, 64), data.X_test.reshape(-1, 64)

train_error, test_error, epochs = {}, {}, {}
for labels in ("true", "random"):
    corrupted = kf.corrupt(X, data.y_train, X_test, n_classes=10, labels=labels, seed=0)
    net = NetClassifier("mlp1x512", epochs=200, lr=0.1, lr_decay=1.0, random_state=0)  # stops when all are fitted
    net.fit(X, corrupted.y_train)
    train_error[labels] = 1 - net.score(X, corrupted.y_train)
    test_error[labels] = 1 - net.score(X_test, data.y_test)
    epochs[labels] = net.history_.epoch
    print(
        f"{labels:>6} labels: training error {train_error[labels]:.1%} after {epochs[labels]} epochs, "
        f"test error {test_error[labels]:.1%}"
    )
