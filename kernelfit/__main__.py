"""python -m kernelfit: the command line."""

import sys

from kernelfit.cli import main

if __name__ == "__main__":
    sys.exit(main())
