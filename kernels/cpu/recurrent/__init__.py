"""Recurrent layers over whole sequences: `kernels.py` has the kernels.

arguments.py   what the compiled passes take
cells.py       one step of a cell, and its gradient
forward.py     all steps of a layer
backward.py    their gradients, from the last step to the first
"""
