"""What every family of CUDA kernels is built on: the checked launch, dtypes, tables and headers.

`launcher` checks arguments against the C signature that `signature` reads, and launches through a
target: `gpu` for CuPy's arrays, `../emulator` for the emulated device's. `kernel` has the
decorators that register kernels, `dtypes` the dtypes that they take, and `flat` the sizes of
launches. Two tables are committed: tiles.json, the tiles of matrix products by shape (`tiles`), and
resources.json, what each kernel needs of a multiprocessor (`resources`). The headers (`*.cuh`) hold
what several families share: `device.cuh` types, sums and reductions, `ptx.cuh` single instructions,
`gemm_tile.cuh` and `tensor_tile.cuh` the loops of products, `gathered.cuh` that of a convolution on
tensor cores, `result.cuh` what is done with a finished tile.
"""

from .launcher import Source, TensorView
from .signature import LaunchError
