"""Kernels: the arithmetic below every op, once for each target, under the same names.

`reference` is the contract and the oracle: every kernel with an obvious NumPy body. The other
targets (`cpu` in numba, `cuda` in CUDA C++ for GPUs and for the emulator, `numba_cuda` as some
readable twins of these) are measured against it, name by name.

The contract:

* C-contiguous arrays in (arrays of any layout where the kernel says `any_layout`), arrays out. The
  outputs are new arrays, unless the name ends in `_`: such a kernel works in place on its first
  argument (and on the optimizer state beside it) and returns nothing.
* The outputs have the dtype of the inputs. float16 is accumulated in float32 and rounded once, at
  the end; what a forward kernel keeps for its backward (a mean, a logsumexp) is float32 there.
* Zero-size arrays are inputs like any other.
* Convolutions and poolings take their sizes and options as one Geometry (geometry.py), which is
  made once for a call and serves its gradients too.
* A kernel never checks what a user passed. The ops above it do, with messages that a user can read.
"""
