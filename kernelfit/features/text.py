"""Features as text: what the command line takes and what Records and models hold."""

from kernelfit.common.errors import InputError
from kernelfit.common.text_forms import make_named, named_options, parse_expression
from kernelfit.features.base import Features, Pixels
from kernelfit.features.gabor import Gabor
from kernelfit.features.randomconv import RandomConv
from kernelfit.features.scattering import Scattering
from kernelfit.features.wavelet import Wavelet

_NAMES = {features.name: features for features in (Pixels, Gabor, Scattering, Wavelet, RandomConv)}


def parse_features(text: str) -> Features:
    """Return the Features that a text names: the inverse of str(features).

    A text is a name ("pixels", "gabor", ...) with or without options: "randomconv(filters=1024, preset='patch')".

    Raises
    ------
    InputError
        The text is not such an expression, or names no features or option.
    """
    try:
        named = named_options(parse_expression(text, "features"))
        if named is None:
            raise SyntaxError("not a name with options")
        return make_named(*named, _NAMES, "kind of features")
    except InputError:
        raise
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:  # the last two: deep nesting
        raise InputError(
            f"features {str(text)[:60]!r} were not understood ({str(error)[:100]}). Write a name "
            f"({', '.join(_NAMES)}), or a name with options such as randomconv(filters=1024)"
        ) from error
