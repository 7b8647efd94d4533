import dataclasses
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from kernelfit.common.errors import InputError
from kernelfit.records.fits import FitRecord, RandomizationResult
from kernelfit.report.randomization import plot_randomization, randomization_table


@pytest.fixture
def result():
    common = {"created": "", "version": "", "estimator": "Forest(trees=5)", "n_train": 1437, "n_test": 360}
    common |= {"data": {"name": "digits", "test_set": "given"}, "n_classes": 10}
    records = [
        FitRecord(
            **common,
            identity=f"{level} {seed}",
            level=level,
            seed=seed,
            labels_changed=int(90 * level),
            train_error=0.02 * level + 0.01 * seed,
            train_error_clean=0.0,
            train_error_corrupted=0.03 if level else None,
            test_error=0.1 + 0.7 * level + 0.05 * seed,
            fit_seconds=1.0 + level,
        )
        for level in (0.0, 0.5, 1.0)
        for seed in range(3)
    ]
    return RandomizationResult(tuple(records), resumed=2, skipped=1)


def printed(result):
    stream = io.StringIO()
    Console(file=stream, width=80).print(randomization_table(result))
    return stream.getvalue()


def test_the_table_tells_means_deviations_and_the_verdict(result):
    text = printed(result)
    assert "Forest(trees=5) on digits: 1,437 training and 360 test" in text
    first, middle, last = (line.split() for line in text.splitlines() if " ± " in line)
    assert first[:2] == ["0", "%"] and first.count("-") == 1, "no wrong labels at level 0"
    assert middle[:2] == ["50", "%"] and middle[2:5] == ["2.00", "±", "1.00"]
    assert last[11:14] == ["85.00", "±", "5.00"] and last[14:] == ["2.00", "±", "0.00"]
    joined = " ".join(text.split())
    assert "does not fit random labels: training error 2 to 4 % over 3 seeds" in joined and "chance: 90 %" in joined
    assert "random labels take 2.00 times as long" in joined
    assert "2 of 9 fits were done before" in joined and "1 lines of the records were not whole" in joined


def test_one_seed_has_no_deviation(result):
    single = RandomizationResult(tuple(record for record in result.records if record.seed == 0))
    assert "±" not in printed(single)


def test_a_held_out_test_set_is_stated(result):
    record = dataclasses.replace(result.records[0], data={"name": "", "test_set": "a fifth, held out"})
    assert "test examples: a fifth, held out" in printed(RandomizationResult((record,)))


def test_the_figure_holds_both_curves_and_chance(result, tmp_path):
    plot_randomization(result, tmp_path / "a.svg")
    text = "".join(ElementTree.parse(tmp_path / "a.svg").getroot().itertext())
    for words in ("training error", "test error", "chance, 90 %", "training labels replaced (%)", "Forest(trees=5)"):
        assert words in text
    plot_randomization(result, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    plot_randomization(result, tmp_path / "a.PNG")
    pixels = np.asarray(Image.open(tmp_path / "a.PNG").convert("RGB")).reshape(-1, 3)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x76, 0x76, 0x76)):
        assert (pixels == colour).all(axis=1).sum() > 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.PNG", "a.svg", "b.svg"]


def test_a_figure_of_one_seed_and_one_level_is_drawn_too(result, tmp_path):
    plot_randomization(RandomizationResult(result.records[:1]), tmp_path / "one.svg")
    assert (tmp_path / "one.svg").stat().st_size > 1000


def test_other_kinds_of_file_are_refused(result, tmp_path):
    with pytest.raises(InputError, match=r"\.svg, \.png or \.pdf"):
        plot_randomization(result, tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
