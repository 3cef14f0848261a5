// Step 2: neighbouring threads compute neighbouring COLUMNS. The only change is which index is x.
//
// Now the lanes of a warp read b[k * n + column] side by side: 32 numbers in 4 sectors, all of them
// wanted. a[row * n + k] is one number for the whole warp, one sector.
#include "device.cuh"

extern "C" __global__ void matmul(float* c, const float* a, const float* b, int n) {
    const int row = blockIdx.y * blockDim.y + threadIdx.y;
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0;
    for (int k = 0; k < n; ++k) sum += a[row * n + k] * b[k * n + column];
    c[row * n + column] = sum;
}
