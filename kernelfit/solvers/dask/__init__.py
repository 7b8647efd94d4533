"""Conjugate gradients over the workers of a Dask cluster."""
