// The activations, for one number in acc_t: what elementwise.cu maps and products end with.
#pragma once
#include "device.cuh"

__device__ __forceinline__ acc_t positive_part(acc_t x) {  // NaN passes through
    return (x > 0 || x != x) ? x : acc_t(0);
}

__device__ __forceinline__ acc_t logistic(acc_t x) {  // exp never overflows
    const acc_t e = exp(x > 0 ? -x : x);
    return (x > 0 ? acc_t(1) : e) / (1 + e);
}

// What a product does to each of its numbers at the end; the codes are linalg.py's.
enum Activation { NONE = 0, RELU = 1, GELU = 2, SILU = 3 };

__device__ __forceinline__ acc_t activated(acc_t x, int activation) {
    switch (activation) {
        case RELU: return positive_part(x);
        case GELU: return x * acc_t(normcdf(x));
        case SILU: return x * logistic(x);
        default: return x;
    }
}
