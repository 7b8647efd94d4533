"""Solvers of (K + ridge I) coef = Y."""
