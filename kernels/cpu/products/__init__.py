"""Products of matrices: `linalg.py` has the kernels, the other files their parts.

micro_kernel.py the code of the innermost product, with its sums in registers, for these three:
tile.py         rows of a matrix times a panel
block_gemm.py   blocks that lie in the cache, without packing
strip.py        rows that overlap in memory, as the pixels under a convolution's window do

packed_gemm.py  large products, blocks of which are packed for block_gemm.py
panels.py       a right factor that is packed once and used for few rows
gemm.py         BLAS, for small products
transposing.py  square blocks, transposed in registers
lengths.py      distances of vectors, the long ones by products
"""
