// Step 13: softmax of each row, as the formula says it: the maximum, the sum of the exponentials, the
// quotients. A block has a row, and reads it three times from global memory.
#include "device.cuh"

extern "C" __global__ void softmax(float* y, const float* x, int columns) {
    __shared__ float scratch[32];
    const float* row = x + blockIdx.x * columns;
    float highest = -infinity(), sum = 0;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) highest = max(highest, row[i]);
    highest = block_reduce<Max>(highest, scratch);
    for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += expf(row[i] - highest);
    sum = block_reduce<Sum>(sum, scratch);
    for (int i = threadIdx.x; i < columns; i += blockDim.x)
        y[blockIdx.x * columns + i] = expf(row[i] - highest) / sum;
}
