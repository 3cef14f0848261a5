"""Tensors made, and shown in another shape."""
