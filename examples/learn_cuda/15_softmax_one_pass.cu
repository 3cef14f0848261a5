// Step 15: the row stays in registers. A thread holds its share, four neighbours at a time, and global
// memory is read once and written once: nothing is faster than that.
#include "device.cuh"

constexpr int HELD = 4;  // fours of a thread: rows of up to 4 * 4 * 128 numbers
typedef Vector<float, 4> Four;

extern "C" __global__ void softmax(float* y, const float* x, int columns) {
    __shared__ float scratch[32];
    const Four* row = reinterpret_cast<const Four*>(x + blockIdx.x * columns);
    Four* out = reinterpret_cast<Four*>(y + blockIdx.x * columns);
    Four held[HELD];
    float highest = -infinity(), sum = 0;
    for (int q = 0; q < HELD; ++q) {
        const int i = threadIdx.x + q * blockDim.x;
        if (i >= columns / 4) continue;
        held[q] = row[i];
        for (int e = 0; e < 4; ++e) highest = max(highest, held[q].at[e]);
    }
    highest = block_reduce<Max>(highest, scratch);
    for (int q = 0; q < HELD; ++q)
        for (int e = 0; e < 4; ++e)
            if (threadIdx.x + q * blockDim.x < columns / 4)
                sum += held[q].at[e] = expf(held[q].at[e] - highest);
    sum = block_reduce<Sum>(sum, scratch);
    for (int q = 0; q < HELD; ++q) {
        const int i = threadIdx.x + q * blockDim.x;
        if (i >= columns / 4) continue;
        for (int e = 0; e < 4; ++e) held[q].at[e] /= sum;
        out[i] = held[q];
    }
}
