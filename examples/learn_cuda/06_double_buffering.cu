// Step 6: two buffers. The loads of the next step are issued before the arithmetic of this one, into
// registers, and hide behind it; they are stored into the other buffer. One barrier a step is enough:
// nobody writes the buffer that is being read. The traffic is that of step 5; the waiting is less.
#include "device.cuh"

constexpr int TILE = 64, DEPTH = 8, EACH = 4;
typedef Vector<float, 4> Four;

__device__ const Four& four(const float* at) { return *reinterpret_cast<const Four*>(at); }

extern "C" __global__ void matmul(float* c, const float* a, const float* b, int n) {
    __shared__ __align__(16) float left[2][DEPTH][TILE], right[2][DEPTH][TILE];
    const int first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE, i = threadIdx.x;
    const int own_row = i / 16 * EACH, own_column = i % 16 * EACH, k_of_b = i % 128 / 16;
    const auto load = [&](int start) {
        return i < 128 ? four(&a[(first_row + i / 2) * n + start + i % 2 * 4])
                       : four(&b[(start + k_of_b) * n + first_column + i % 16 * 4]);
    };
    const auto store = [&](int buffer, const Four& held) {
        if (i < 128)
            for (int e = 0; e < 4; ++e) left[buffer][i % 2 * 4 + e][i / 2] = held.at[e];
        else
            *reinterpret_cast<Four*>(&right[buffer][k_of_b][i % 16 * 4]) = held;
    };
    float sums[EACH][EACH] = {};
    store(0, load(0));
    __syncthreads();
    for (int start = 0, buffer = 0; start < n; start += DEPTH, buffer ^= 1) {
        const bool more = start + DEPTH < n;
        Four next;
        if (more) next = load(start + DEPTH);
        for (int k = 0; k < DEPTH; ++k) {
            const Four rows = four(&left[buffer][k][own_row]);
            const Four columns = four(&right[buffer][k][own_column]);
            for (int r = 0; r < EACH; ++r)
                for (int q = 0; q < EACH; ++q) sums[r][q] += rows.at[r] * columns.at[q];
        }
        if (more) store(buffer ^ 1, next);
        __syncthreads();
    }
    for (int r = 0; r < EACH; ++r) {
        Four row;
        for (int q = 0; q < EACH; ++q) row.at[q] = sums[r][q];
        *reinterpret_cast<Four*>(&c[(first_row + own_row + r) * n + first_column + own_column]) = row;
    }
}
