// Random numbers by Philox, and dropout: the bits of kernels/reference/random.py.
//
// Element i of a draw comes from word i % 4 of the Philox block offset + i / 4, so a thread makes
// four elements from one block. Dropout stores no mask: the same call on the gradient draws it
// again.
// Status: emulated.
#include "philox.cuh"

// f(first, words) for each Philox block that n words need; `first` is the index of its first word.
template <class F> __device__ __forceinline__ void each_block(unsigned long long seed,
                                                              unsigned long long offset,
                                                              long long n, F f) {
    for (long long block = grid_thread(); block * 4 < n; block += grid_threads())
        f(block * 4, philox(seed, offset + block));
}

extern "C" __global__ void words(unsigned* out, unsigned long long seed, unsigned long long offset,
                                 long long n) {
    each_block(seed, offset, n, [&](long long first, Words w) {
#pragma unroll
        for (int k = 0; k < 4; ++k)
            if (first + k < n) out[first + k] = w.at[k];
    });
}

// y = x * scale where the uniform number is at least p, else 0. p and the numbers are float32 for
// every dtype; `least` is the least word that keeps its element.
extern "C" __global__ void dropout(scalar_t* y, const scalar_t* x, unsigned least, acc_t scale,
                                   unsigned long long seed, unsigned long long offset, long long n,
                                   long long quads) {
    typedef Vector<scalar_t, 4> Quad;
    each_block(seed, offset, n, [&](long long first, Words w) {
        if (first < quads * 4) {
            Quad quad = *reinterpret_cast<const Quad*>(x + first);
#pragma unroll
            for (int k = 0; k < 4; ++k)
                quad.at[k] = narrow(w.at[k] >= least ? widen(quad.at[k]) * scale : acc_t(0));
            *reinterpret_cast<Quad*>(y + first) = quad;
            return;
        }
#pragma unroll
        for (int k = 0; k < 4; ++k)
            if (first + k < n)
                y[first + k] = narrow(w.at[k] >= least ? widen(x[first + k]) * scale : acc_t(0));
    });
}

// How many numbers a block makes: a float64 takes two of the four words.
constexpr int NUMBERS = sizeof(scalar_t) == 8 ? 2 : 4;

__device__ __forceinline__ acc_t number(const Words& w, int k) {
    if (NUMBERS == 4) return acc_t(uniform(w.at[k]));
    return acc_t(((w.at[2 * k % 4] >> 5) * 67108864.0 + (w.at[(2 * k + 1) % 4] >> 6)) *
                 1.1102230246251565e-16);
}

// Uniform numbers in [0, 1); `most` stands for those that would round to 1.
extern "C" __global__ void uniform_numbers(scalar_t* out, acc_t most, unsigned long long seed,
                                           unsigned long long offset, long long n) {
    each_block(seed, offset, n * (4 / NUMBERS), [&](long long first, Words w) {
        first = first / 4 * NUMBERS;
#pragma unroll
        for (int k = 0; k < NUMBERS; ++k) {
            if (first + k < n) out[first + k] = narrow(acc_t(fmin(number(w, k), most)));
        }
    });
}

// Normal numbers by the method of Box and Muller: two from each pair of uniform ones.
extern "C" __global__ void normal_numbers(scalar_t* out, unsigned long long seed,
                                          unsigned long long offset, long long n) {
    each_block(seed, offset, n * (4 / NUMBERS), [&](long long first, Words w) {
        first = first / 4 * NUMBERS;
#pragma unroll
        for (int k = 0; k < NUMBERS; k += 2) {
            const acc_t radius = sqrt(-2 * acc_t(log(1 - number(w, k))));
            acc_t sine, cosine;
            sincospi(2 * number(w, k + 1), &sine, &cosine);
            if (first + k < n) out[first + k] = narrow(radius * cosine);
            if (first + k + 1 < n) out[first + k + 1] = narrow(radius * sine);
        }
    });
}
