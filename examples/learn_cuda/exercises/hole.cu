// Exercise 2: fill the hole. y = transpose of x, (rows, columns) to (columns, rows), of any sizes.
//
// Read x and write y such that neighbouring threads touch neighbouring numbers both times: a tile of
// 32 x 32 goes through shared memory. And let no two lanes of a warp want different words of one bank
// (step 7). A block has 32 x 8 threads; block (x, y) has the tile at column 32 x, row 32 y.
//
// Copy this file, replace the line with HOLE, and grade it:
//
//     python examples/learn_cuda/exercises/grade.py my_transpose.cu
#include "device.cuh"

extern "C" __global__ void transpose(float* y, const float* x, int rows, int columns) {
    HOLE
}
