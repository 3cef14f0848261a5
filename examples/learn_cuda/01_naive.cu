// Step 1: one thread, one number of C = A B. All matrices are n x n, row by row.
//
// It is right, and slow. Neighbouring threads of a warp compute neighbouring ROWS: when the warp reads
// a[row * n + k], its 32 lanes are n numbers apart, and each touches a sector (32 bytes) of its own, of
// which it wants 4 bytes.
#include "device.cuh"

extern "C" __global__ void matmul(float* c, const float* a, const float* b, int n) {
    const int row = blockIdx.x * blockDim.x + threadIdx.x;
    const int column = blockIdx.y * blockDim.y + threadIdx.y;
    float sum = 0;
    for (int k = 0; k < n; ++k) sum += a[row * n + k] * b[k * n + column];
    c[row * n + column] = sum;
}
