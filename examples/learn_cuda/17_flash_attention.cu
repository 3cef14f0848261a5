// Step 17: flash attention. A block has 32 queries and walks over tiles of 32 keys; scores live in shared
// memory for one tile only. The online softmax of step 14 makes it possible: each query keeps its
// maximum and sum, and shrinks what it has mixed so far when the maximum grows. kernels/cuda/ has it
// with masks, gradients and tensor cores.
//
// 8 threads share a query: each has 4 of the tile's scores, and 4 of the 32 numbers that are mixed.
#include "device.cuh"

constexpr int WIDTH = 32, TILE = 32, SHARERS = 8, EACH = 4, THREADS = TILE * SHARERS;
constexpr int PITCH = WIDTH + 1;  // rows begin in different banks

extern "C" __global__ void attention(float* out, const float* q, const float* k, const float* v,
                                     int n) {
    __shared__ float queries[TILE][PITCH], keys[TILE][PITCH], values[TILE][PITCH];
    __shared__ float weights[TILE][PITCH];
    const int own = threadIdx.x / SHARERS, part = threadIdx.x % SHARERS, first = blockIdx.x * TILE;
    for (int i = threadIdx.x; i < TILE * WIDTH; i += THREADS)
        queries[i / WIDTH][i % WIDTH] = q[first * WIDTH + i];
    float highest = -infinity(), sum = 0, mixed[EACH] = {};
    for (int start = 0; start < n; start += TILE) {
        __syncthreads();  // all have left the tiles of the step before
        for (int i = threadIdx.x; i < TILE * WIDTH; i += THREADS) {
            keys[i / WIDTH][i % WIDTH] = k[start * WIDTH + i];
            values[i / WIDTH][i % WIDTH] = v[start * WIDTH + i];
        }
        __syncthreads();
        float scores[EACH] = {}, higher = highest;
        for (int c = 0; c < EACH; ++c) {  // keys part, part + 8, ...
            for (int e = 0; e < WIDTH; ++e)
                scores[c] += queries[own][e] * keys[part + c * SHARERS][e];
            scores[c] *= rsqrtf(float(WIDTH));
            higher = max(higher, scores[c]);
        }
        for (int step = SHARERS / 2; step > 0; step /= 2)
            higher = max(higher, __shfl_xor_sync(FULL_WARP, higher, step));
        const float shrink = expf(highest - higher);
        sum *= shrink;
        for (int c = 0; c < EACH; ++c) {
            const float weight = expf(scores[c] - higher);
            weights[own][part + c * SHARERS] = weight;
            sum += weight;
            mixed[c] *= shrink;
        }
        highest = higher;
        __syncwarp();  // the weights of a query come from the threads that share it
        for (int j = 0; j < TILE; ++j)
            for (int c = 0; c < EACH; ++c)
                mixed[c] += weights[own][j] * values[j][part + c * SHARERS];
    }
    for (int step = SHARERS / 2; step > 0; step /= 2) sum += __shfl_xor_sync(FULL_WARP, sum, step);
    for (int c = 0; c < EACH; ++c)
        out[(first + own) * WIDTH + part + c * SHARERS] = mixed[c] / sum;
}
