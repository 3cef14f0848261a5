// Step 3: tiles in shared memory. A block computes 32 x 32 numbers of C, and walks along k in steps of
// 32: all its threads load one tile of A and one of B together, and then each number that was loaded
// once is used 32 times.
//
// Two barriers a step: nobody may multiply before all have loaded, nor load before all have multiplied.
#include "device.cuh"

constexpr int TILE = 32;

extern "C" __global__ void matmul(float* c, const float* a, const float* b, int n) {
    __shared__ float left[TILE][TILE], right[TILE][TILE];
    const int x = threadIdx.x, y = threadIdx.y;
    const int row = blockIdx.y * TILE + y, column = blockIdx.x * TILE + x;
    float sum = 0;
    for (int start = 0; start < n; start += TILE) {
        left[y][x] = a[row * n + start + x];
        right[y][x] = b[(start + y) * n + column];
        __syncthreads();
        for (int k = 0; k < TILE; ++k) sum += left[y][k] * right[k][x];
        __syncthreads();
    }
    c[row * n + column] = sum;
}
