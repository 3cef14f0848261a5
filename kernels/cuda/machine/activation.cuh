// The activations, as functions of acc_t: elementwise.cu maps them, products end with them, and
// fused loops (steps.cuh) have them as steps.
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

// The normal distribution function, and its approximation by tanh as a logistic function: both
// keep their relative precision for x << 0.
constexpr acc_t RATE = acc_t(1.5957691216057308);  // 2 sqrt(2 / pi)
constexpr acc_t CUBIC = acc_t(0.044715);
constexpr acc_t DENSITY = acc_t(0.3989422804014327);  // 1 / sqrt(2 pi)

__device__ __forceinline__ acc_t tanh_cdf(acc_t x) { return logistic(RATE * (x + CUBIC * x * x * x)); }

__device__ __forceinline__ acc_t gelu_slope(acc_t x) {
    const acc_t finite = isinf(x) ? acc_t(0) : x;  // so that its product with 0 is 0
    return acc_t(normcdf(x)) + finite * DENSITY * acc_t(exp(acc_t(-0.5) * x * x));
}

__device__ __forceinline__ acc_t gelu_tanh_slope(acc_t x) {
    const acc_t cdf = tanh_cdf(x);
    return cdf + x * cdf * (1 - cdf) * RATE * (1 + 3 * CUBIC * x * x);
}
