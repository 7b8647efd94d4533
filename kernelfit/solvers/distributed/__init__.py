"""Engines that solve beyond one process: ScaLAPACK over MPI, and conjugate gradients over Dask."""
