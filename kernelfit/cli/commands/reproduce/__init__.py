"""Repeat a part of the paper."""
