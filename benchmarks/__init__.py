"""What kernelfit is measured by: `python -m benchmarks` lists the cases, `python -m benchmarks NAME` runs one."""
