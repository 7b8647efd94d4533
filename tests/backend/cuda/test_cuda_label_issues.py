"""Doubtful labels by factors on a GPU."""

import numpy as np

from kernelfit.experiments.label_issues import LabelIssuesSpec, run_label_issues


def test_the_ranking_is_that_of_the_cpu(device, planned):
    options = {"labels": "0.15", "n_train": 200, "ridge": 0.1, "bandwidth": 1.4}
    on_cpu, on_gpu = (
        run_label_issues(LabelIssuesSpec(**options, device=name)).results for name in ("cpu", device.name)
    )
    assert on_gpu.auc == on_cpu.auc and on_gpu.contradicted == on_cpu.contradicted > 0
    for ours, theirs in zip(on_gpu.issues, on_cpu.issues, strict=True):
        assert (ours.index, ours.predicted) == (theirs.index, theirs.predicted)
        # The condition is below 1e4.
        np.testing.assert_allclose(ours.score, theirs.score, atol=1e-10)
        assert [each.index for each in ours.against] == [each.index for each in theirs.against]
