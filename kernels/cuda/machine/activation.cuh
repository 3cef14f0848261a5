// The activations, as functions of acc_t: elementwise.cu maps them, and products end with them.
#pragma once
#include "device.cuh"

__device__ __forceinline__ acc_t positive_part(acc_t x) {  // NaN passes through
    return (x > 0 || x != x) ? x : acc_t(0);
}

__device__ __forceinline__ acc_t logistic(acc_t x) {  // exp never overflows
    const acc_t e = exp(x > 0 ? -x : x);
    return (x > 0 ? acc_t(1) : e) / (1 + e);
}

// Which activation a product applies to its elements; the codes are those of linalg.py.
enum Activation { NONE = 0, RELU = 1, GELU = 2, SILU = 3 };

__device__ __forceinline__ acc_t activated(acc_t x, int activation) {
    switch (activation) {
        case RELU: return positive_part(x);
        case GELU: return (x < -40 ? acc_t(-40) : x) * acc_t(normcdf(x));  // which is 0 there
        case SILU: return x * logistic(x);
        default: return x;
    }
}
