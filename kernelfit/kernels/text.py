"""Kernels as text: what the command line takes and what Records and models hold."""

import ast
from typing import Any

from kernelfit import kernels
from kernelfit.common.errors import InputError
from kernelfit.common.text_forms import (
    IMPORT_PATH,
    LONGEST,
    LONGEST_IN_FILE,
    import_callable,
    make_named,
    named_options,
    parse_expression,
)

_NAMES = {kind.name: kind for kind in (getattr(kernels, word) for word in kernels.__all__) if kind.name}


def parse_kernel(text: str, *, imports: bool = True) -> kernels.Kernel:
    """Return the kernel that a text of up to 4,000 characters names: the inverse of str(kernel).

    A text is a name ("gaussian", "quartic", ...) with or without options, "polynomial(degree=3)", a number, an import
    path "module:function" (in a combination custom("module:function")), or a combination with + and *:
    "0.5 * gaussian(bandwidth=5) + linear". Bandwidths not given stay open. Without `imports`, a text that would
    import code is refused: for texts from files.

    Raises
    ------
    InputError
        The text is not such an expression, or names no kernel or option.

    Examples
    --------
    >>> kernel = parse_kernel("0.5 * gaussian + linear")
    >>> kernel.open_bandwidth, str(kernel.with_bandwidth(5.0))
    (True, '0.5 * gaussian(bandwidth=5.0) + linear()')
    """
    if isinstance(text, str) and IMPORT_PATH.fullmatch(text.strip()):
        text = f"custom({text.strip()!r})"
    try:
        longest = LONGEST if imports else LONGEST_IN_FILE
        return _from_tree(parse_expression(text, "kernel", longest), imports)
    except InputError:
        raise
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:  # the last two: deep nesting
        raise InputError(
            f"kernel {text[:60]!r} was not understood ({str(error)[:100]}). Write a name "
            f"({', '.join(kernel_names())}), a name with options such as polynomial(degree=3), a combination with + "
            "and *, or module:function for your own"
        ) from error


def as_kernel(kernel: Any) -> kernels.Kernel:
    """Return the Kernel that a Kernel, a text, or a function of two matrices stands for.

    Raises
    ------
    InputError
        It is none of these, or a class of kernels in place of a kernel.
    """
    if isinstance(kernel, type):
        raise InputError(f"kernel = {kernel.__name__} is a class; give an object of it, {kernel.__name__}()")
    if isinstance(kernel, kernels.Kernel):
        return kernel
    return kernels.Custom(kernel) if callable(kernel) else parse_kernel(kernel)


def kernel_names() -> tuple[str, ...]:
    """Return the names that parse_kernel knows."""
    return (*_NAMES, "quartic")


def _from_tree(node: ast.expr, imports: bool) -> kernels.Kernel:
    match node:
        case ast.BinOp(left, ast.Add(), right):
            return _from_tree(left, imports) + _from_tree(right, imports)
        case ast.BinOp(left, ast.Mult(), right):
            return _from_tree(left, imports) * _from_tree(right, imports)
        case ast.Constant(int() | float() as value) if not isinstance(value, bool):
            return kernels.Constant(value)
        case ast.Call(ast.Name("custom"), [ast.Constant(str() as path)], []) if IMPORT_PATH.fullmatch(path):
            if not imports:
                raise InputError(f"kernel {path!r} is code to import, which is not allowed here")
            return kernels.Custom(import_callable(path, "kernel"), path)
    if named := named_options(node):
        return _named(*named)
    raise SyntaxError("not a kernel expression")


def _named(name: str, options: dict[str, Any]) -> kernels.Kernel:
    if name == "quartic":
        return kernels.Cosine(**{"degree": 4} | options)
    return make_named(name, options, _NAMES | {"quartic": None}, "kernel")
