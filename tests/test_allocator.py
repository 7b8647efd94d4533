import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource, sys
from kernelfit.backend import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else None
malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
malloc.restype, malloc.argtypes, free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def touch():
    pointers = [malloc(24 << 20) for _ in range(8)]
    for pointer in pointers:
        ctypes.memset(pointer, 1, 24 << 20)
        free(pointer)
touch(); touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5): touch()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(how):
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    return kept, int(faults)


def test_freed_memory_is_used_again_without_page_faults():
    kept, faults = run("keep")
    if kept != "True":
        pytest.skip("the C library here has no mallopt")
    # 40 blocks of 24 MiB are 245,760 pages of 4 KiB, or 480 of 2 MiB; none of them is new.
    assert faults < 100 < run("leave")[1]
