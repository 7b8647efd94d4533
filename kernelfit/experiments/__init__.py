"""Experiments: a spec goes in, a Record comes out."""
