// The steps of fused loops, by the names of kernels/loop.py: fused.py writes kernels that call them.
// A truth value is 1 or 0.
// Status: emulated.
#pragma once
#include "activation.cuh"

#define STEP __device__ __forceinline__ acc_t

STEP step_less(acc_t a, acc_t b) { return acc_t(a < b); }
STEP step_less_equal(acc_t a, acc_t b) { return acc_t(a <= b); }
STEP step_greater(acc_t a, acc_t b) { return acc_t(a > b); }
STEP step_greater_equal(acc_t a, acc_t b) { return acc_t(a >= b); }
STEP step_equal(acc_t a, acc_t b) { return acc_t(a == b); }
STEP step_not_equal(acc_t a, acc_t b) { return acc_t(a != b); }
STEP step_logical_and(acc_t a, acc_t b) { return acc_t(a != 0 && b != 0); }
STEP step_logical_or(acc_t a, acc_t b) { return acc_t(a != 0 || b != 0); }
STEP step_where(acc_t condition, acc_t a, acc_t b) { return condition != 0 ? a : b; }
STEP step_maximum(acc_t a, acc_t b) { return Max::of(a, b); }
STEP step_minimum(acc_t a, acc_t b) { return (a < b || a != a) ? a : b; }
STEP step_power(acc_t a, acc_t b) { return acc_t(pow(a, b)); }

STEP step_abs(acc_t x) { return acc_t(fabs(x)); }
STEP step_sign(acc_t x) { return x > 0 ? acc_t(1) : (x < 0 ? acc_t(-1) : x); }
STEP step_exp(acc_t x) { return acc_t(exp(x)); }
STEP step_exp_below_maximum(acc_t x) { return acc_t(exp(x)); }
STEP step_expm1(acc_t x) { return acc_t(expm1(x)); }
STEP step_log(acc_t x) { return acc_t(log(x)); }
STEP step_log1p(acc_t x) { return acc_t(log1p(x)); }
STEP step_sqrt(acc_t x) { return acc_t(sqrt(x)); }
STEP step_sin(acc_t x) { return acc_t(sin(x)); }
STEP step_cos(acc_t x) { return acc_t(cos(x)); }
STEP step_tanh(acc_t x) { return acc_t(tanh(x)); }
STEP step_erf(acc_t x) { return acc_t(erf(x)); }

STEP step_relu(acc_t x) { return positive_part(x); }
STEP step_relu_backward(acc_t g, acc_t y) { return y > 0 ? g : acc_t(0); }
STEP step_sigmoid(acc_t x) { return logistic(x); }
STEP step_sigmoid_backward(acc_t g, acc_t y) { return g * (y * (1 - y)); }
STEP step_tanh_backward(acc_t g, acc_t y) { return g * (1 - y * y); }
STEP step_silu(acc_t x) { return activated(x, SILU); }
STEP step_silu_backward(acc_t g, acc_t x) {
    const acc_t s = logistic(x);
    return g * s * (1 + x * (1 - s));
}
STEP step_softplus(acc_t x) { return positive_part(x) + acc_t(log1p(exp(x > 0 ? -x : x))); }
STEP step_gelu(acc_t x) { return activated(x, GELU); }
STEP step_gelu_backward(acc_t g, acc_t x) { return g * gelu_slope(x); }
STEP step_gelu_tanh(acc_t x) { return x * tanh_cdf(x); }
STEP step_gelu_tanh_backward(acc_t g, acc_t x) { return g * gelu_tanh_slope(x); }
