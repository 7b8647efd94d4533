"""kernelfit: exact kernel interpolation and the study of implicit regularization."""


def __getattr__(name):
    if name == "__version__":
        from importlib.metadata import version  # a tenth of the time in which a command starts

        return version("kernelfit")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
