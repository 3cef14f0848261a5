// Step 16: attention as the textbook has it, out = softmax(q k^T / sqrt(d)) v, in three kernels. The
// scores, n x n numbers, go through global memory four times; for long sequences they are nearly all
// of the traffic, and do not fit.
#include "device.cuh"

constexpr int WIDTH = 32;  // d, of q, k, v and out: (n, WIDTH)

extern "C" __global__ void scores(float* s, const float* q, const float* k, int n) {
    const int i = blockIdx.y, j = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0;
    for (int e = 0; e < WIDTH; ++e) sum += q[i * WIDTH + e] * k[j * WIDTH + e];
    s[i * n + j] = sum * rsqrtf(float(WIDTH));
}

extern "C" __global__ void weights(float* s, int n) {
    __shared__ float scratch[32];
    float* row = s + blockIdx.x * n;
    float highest = -infinity(), sum = 0;
    for (int j = threadIdx.x; j < n; j += blockDim.x) highest = max(highest, row[j]);
    highest = block_reduce<Max>(highest, scratch);
    for (int j = threadIdx.x; j < n; j += blockDim.x) sum += expf(row[j] - highest);
    sum = block_reduce<Sum>(sum, scratch);
    for (int j = threadIdx.x; j < n; j += blockDim.x) row[j] = expf(row[j] - highest) / sum;
}

extern "C" __global__ void mix(float* out, const float* s, const float* v, int n) {
    const int i = blockIdx.x, e = threadIdx.x;
    float sum = 0;
    for (int j = 0; j < n; ++j) sum += s[i * n + j] * v[j * WIDTH + e];
    out[i * WIDTH + e] = sum;
}
