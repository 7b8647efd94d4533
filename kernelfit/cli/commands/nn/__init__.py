"""Neural nets (need PyTorch: the extra nn)."""
