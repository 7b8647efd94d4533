"""Replace more and more labels, and watch test error and norm rise while the training error stays 0.

The paper's figure 1c, for a kernel. Labels do not enter K, so one factorisation answers for all of them: a whole sweep
costs hardly more than one fit. The test error rises gradually: even with half of the labels replaced, much of what the
other half says survives the memorising.
"""

import kernelfit as kf

rows = kf.run("sweep", data="digits", bandwidth=1.5, labels=(0, 0.5, 1), seeds=2).results.rows
for row in rows:
    print(
        f"{row.level:4.0%} of labels replaced, seed {row.seed}: training error {row.train_error:.1%}, "
        f"test error {row.test_error:.1%}, norm {row.norm:.1f}"
    )
