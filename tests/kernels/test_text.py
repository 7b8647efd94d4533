"""Kernels as text."""

import contextlib
import random
import sys

import numpy as np
import pytest

from kernelfit.common.errors import InputError
from kernelfit.kernels import (
    ArcCosine,
    Constant,
    Cosine,
    Gaussian,
    Laplacian,
    Linear,
    Matern,
    NeuralTangent,
    Polynomial,
    Precomputed,
    Product,
    Sum,
)
from kernelfit.kernels.text import kernel_names, parse_kernel

QUARTIC = Cosine(4)


def random_kernel(rng, depth):
    if depth == 0 or rng.random() < 0.2:
        number = rng.choice([rng.uniform(0.01, 9), rng.expovariate(1) * 1e-12 + 1e-20, 1e16, 3, 0.1])
        return rng.choice(
            [
                Gaussian(number),
                Gaussian(),
                Laplacian(number),
                Matern(rng.choice([0.5, 1.5, 2.5]), number),
                Polynomial(rng.randint(1, 9), gamma=number, coef0=rng.choice([0, 0.5])),
                Linear(),
                ArcCosine(rng.randint(1, 4)),
                NeuralTangent(rng.randint(1, 4)),
                Constant(number),
                QUARTIC,
            ]
        )
    pair = rng.choice([Sum, Product])
    return pair(random_kernel(rng, depth - 1), random_kernel(rng, depth - 1))


def test_text_and_kernel_are_inverse_on_random_trees():
    rng = random.Random(0)
    for _ in range(500):
        kernel = random_kernel(rng, rng.randint(0, 5))
        assert parse_kernel(str(kernel)) == kernel, str(kernel)
        assert str(parse_kernel(str(kernel))) == str(kernel)
    assert parse_kernel("precomputed") == Precomputed() == parse_kernel(str(Precomputed()))


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("gaussian", Gaussian()),
        (" gaussian( bandwidth = 5 ) ", Gaussian(5)),
        ("quartic", QUARTIC),
        ("quartic()", QUARTIC),
        ("ntk(depth=3)", NeuralTangent(3)),
        ("0.5 * gaussian(bandwidth=5) + linear", Sum(Product(Constant(0.5), Gaussian(5)), Linear())),
        ("linear + 1 * linear", Sum(Linear(), Product(Constant(1.0), Linear()))),
        ("(linear + 1) * linear", Product(Sum(Linear(), Constant(1.0)), Linear())),
        ("linear + linear + 2", Sum(Sum(Linear(), Linear()), Constant(2.0))),
        ("linear * (linear * 2)", Product(Linear(), Product(Linear(), Constant(2.0)))),
    ],
)
def test_texts_and_what_they_mean(text, kernel):
    assert parse_kernel(text) == kernel


@pytest.mark.parametrize("number", [np.float64(2.5), np.float32(2.5), np.int64(2), 2])
def test_equal_kernels_print_alike_whatever_kind_of_number_they_got(number):
    """A bandwidth computed by numpy is np.float64; its kernel ends up in Records and models, as text."""
    for kernel, same in [
        (Gaussian(number), Gaussian(float(number))),
        (Polynomial(gamma=number, coef0=number), Polynomial(gamma=float(number), coef0=float(number))),
        (Constant(number), Constant(float(number))),
    ]:
        assert kernel == same
        assert str(kernel) == str(same)
        assert parse_kernel(str(kernel)) == same


@pytest.mark.parametrize(
    ("text", "meant"),
    [("gaussain", "gaussian"), ("Gaussian", "gaussian"), ("laplace", "laplacian"), ("quartik", "quartic")],
)
def test_a_mistyped_name_gets_a_suggestion(text, meant):
    for whole in (text, f"linear + {text}", f"{text}()"):
        with pytest.raises(InputError, match=f"did you mean '{meant}'"):
            parse_kernel(whole)


def test_a_name_like_no_other_gets_the_list():
    with pytest.raises(InputError, match="gaussian, laplacian, laplacian_l1, linear, matern") as caught:
        parse_kernel("zzzzzz")
    assert "did you mean" not in str(caught.value)


MARK = "open('executed', 'w').write('x')"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        ":",
        "a:",
        ":b",
        "a b:c",
        "polynomial(degree=0)",
        "polynomial(degree=2.5)",
        "polynomial(degree=None)",
        "polynomial(degree=[3])",
        "polynomial(3)",
        "polynomial(power=3)",
        "polynomial(**{'degree': 3})",
        "polynomial(*[3])",
        "gaussian(bandwidth=-1)",
        "gaussian(bandwidth=0)",
        "gaussian(bandwidth=1e999)",
        "gaussian(bandwidth='wide')",
        "gaussian(bandwidth=5j)",
        "gaussian(bandwidth=1, bandwidth=2)",
        "gaussian(5)",
        "linear(bandwidth=1)",
        "precomputed(1)",
        "Kernel",
        "_named",
        "linear()()",
        "linear.block",
        "linear.__class__",
        "linear.__class__()",
        "linear[0]",
        "[linear]",
        "linear, linear",
        "linear - linear",
        "linear / 2",
        "linear ** 2",
        "linear @ linear",
        "-linear",
        "-1 * linear",
        "1e999 * linear",
        "linear if linear else linear",
        "lambda: linear",
        "(x := linear)",
        "f'{linear}'",
        "'linear'",
        "True",
        "linear; linear",
        "linear\nlinear",
        "import os",
        "\x00",
        MARK,
        f"__import__('os') + {MARK}",
        "__import__('marker')",
        f"gaussian(bandwidth={MARK})",
        f"linear + [{MARK} for _ in (1,)]",
        "marker.f",
        "marker",
        "linear + marker.f()",
    ],
)
def test_what_is_no_kernel_is_refused_and_never_executed(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "marker.py").write_text(f"def f(A, B):\n    pass\n{MARK}\n")
    with pytest.raises(InputError):
        parse_kernel(text)
    assert not (tmp_path / "executed").exists()
    assert "marker" not in sys.modules


@pytest.mark.parametrize(
    "text",
    [
        "1" + "0" * 400,
        "9" * 10_000,
        "(" * 5000 + "1" + ")" * 5000,
        "-" * 100_000 + "1",
        "1" + "+1" * 50_000,
        "1*" * 3000 + "1",
        "linear+(" * 150 + "1" + ")" * 150,
        "gaussian(bandwidth=" + "[" * 150 + "]" * 150 + ")",
    ],
    ids=["big", "bigger", "parentheses", "signs", "sum", "product", "nested", "list"],
)
def test_texts_of_absurd_size_are_parsed_or_refused(text):
    with contextlib.suppress(InputError):
        parse_kernel(text)


def test_an_error_does_not_repeat_pages_of_text():
    with pytest.raises(InputError) as caught:
        parse_kernel("linear - " * 10_000 + "linear")
    assert len(str(caught.value)) < 2000


def test_every_kernel_has_a_name_and_every_name_a_kernel():
    for name in kernel_names():
        assert parse_kernel(name) == parse_kernel(str(parse_kernel(name)))
