import sys

from kernelfit.cli import main

sys.exit(main())
