"""Datasets: list, fetch, verify, show."""
