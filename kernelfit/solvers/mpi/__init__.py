"""One Cholesky factor over all processes of mpiexec, by ScaLAPACK."""
