// Step 14: maximum and sum in one pass. Whenever a thread meets a larger number, it shrinks the sum that
// it has by exp(old maximum - new one): the "online" softmax (Milakov and Gimelshein 2018). Flash
// attention is built on it.
#include "device.cuh"

extern "C" __global__ void softmax(float* y, const float* x, int columns) {
    __shared__ float scratch[32];
    const float* row = x + blockIdx.x * columns;
    float own = -infinity(), sum = 0;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) {
        const float number = row[i], higher = max(own, number);
        sum = sum * expf(own - higher) + expf(number - higher);
        own = higher;
    }
    const float highest = block_reduce<Max>(own, scratch);
    sum = block_reduce<Sum>(sum * expf(own - highest), scratch);
    for (int i = threadIdx.x; i < columns; i += blockDim.x)
        y[blockIdx.x * columns + i] = expf(row[i] - highest) / sum;
}
