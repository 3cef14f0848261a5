"""Scaled dot-product attention in blocks that stay in the cache: `kernels.py` has the kernels.

arguments.py   the arguments of the compiled passes
blocks.py      both passes, block by block, with masks and dropout
weights.py     the softmax of a block, and its gradient
"""
