"""Convolution as in SciPy's signal module: of arrays of any number of axes, with gradients.

    import tinygrad_like as tg

    tg.signal.convolve(a, b)      tg.signal.convolve(a, b, mode="valid")

It turns the second array round, unlike the layers' tg.conv2d, and knows no channels.
"""

from tinygrad_like.ops.signals.convolve import convolve

__all__ = ["convolve"]
