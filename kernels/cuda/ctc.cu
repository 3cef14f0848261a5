// The paths of connectionist temporal classification, from the start and from the end.
//
// scores: (n, frames, states), logarithms of probabilities; skips, ends: (n, states); alphas, betas:
// (frames, n, states), which are overwritten; counts: (n,), how many frames of a sequence count.
// A sequence has a block, whose threads take the states of a frame side by side, and a barrier
// stands between two frames: each needs the one before it (or after it) whole.
// Status: emulated.
#include "device.cuh"

// log(exp(a) + exp(b) + exp(c)), -inf where all of them are; NaN is passed on.
__device__ __forceinline__ acc_t log_sum(acc_t a, acc_t b, acc_t c) {
    const acc_t top = Max::of(Max::of(a, b), c);
    if (top == -infinity()) return top;
    return log(exp(a - top) + exp(b - top) + exp(c - top)) + top;
}

// The logarithms of the probabilities of all paths that begin at the start and reach a state.
extern "C" __global__ void ctc_alphas(scalar_t* alphas, const scalar_t* scores, const bool* skips,
                                      long long n, long long frames, long long states) {
    const long long block = blockIdx.x, first = block * states;
    const scalar_t* score = scores + first * frames;
    for (long long s = threadIdx.x; s < states; s += blockDim.x)
        alphas[first + s] = s > 1 ? scalar_t(-infinity()) : score[s];
    for (long long t = 1; t < frames; ++t) {
        __syncthreads();
        const long long here = t * n * states + first, before = here - n * states;
        for (long long s = threadIdx.x; s < states; s += blockDim.x) {
            const acc_t one = s > 0 ? alphas[before + s - 1] : -infinity();
            const acc_t two = s > 1 && skips[first + s] ? alphas[before + s - 2] : -infinity();
            alphas[here + s] = log_sum(alphas[before + s], one, two) + score[t * states + s];
        }
    }
}

// The same from the end, in which the frame's own score does not count; -inf beyond the end.
extern "C" __global__ void ctc_betas(scalar_t* betas, const scalar_t* scores, const bool* skips,
                                     const long long* counts, const bool* ends, long long n,
                                     long long frames, long long states) {
    const long long block = blockIdx.x, first = block * states, last = counts[block] - 1;
    const scalar_t* score = scores + first * frames;
    for (long long t = frames - 1; t >= 0; --t) {
        const long long here = t * n * states + first, after = here + n * states;
        const long long next = (t + 1) * states;
        for (long long s = threadIdx.x; s < states; s += blockDim.x) {
            acc_t found = -infinity();
            if (t == last) found = ends[first + s] ? acc_t(0) : found;
            if (last > t) {
                const acc_t stay = betas[after + s] + score[next + s];
                acc_t one = -infinity(), two = -infinity();
                if (states > s + 1) one = betas[after + s + 1] + score[next + s + 1];
                if (states > s + 2 && skips[first + s + 2])
                    two = betas[after + s + 2] + score[next + s + 2];
                found = log_sum(stay, one, two);
            }
            betas[here + s] = found;
        }
        __syncthreads();
    }
}
