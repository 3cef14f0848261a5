// Functions of one element at a time: activations and their gradients, and the sum of two arrays.
//
// y = f(x) or y = f(a, b), element by element; y is overwritten. Memory bandwidth bounds the time:
// the elements of the first `packs` packs are read and written 16 bytes at a time, the rest one by
// one (packs = 0 if a pointer is not aligned). exp sees arguments of at most 0, so nothing
// overflows.
// Status: emulated.
#include "activation.cuh"

template <class F> __device__ __forceinline__ void map(scalar_t* y, const scalar_t* x, long long n,
                                                       long long packs, F f) {
    for (long long i = grid_thread(); i < packs; i += grid_threads()) {
        Pack pack = reinterpret_cast<const Pack*>(x)[i];
#pragma unroll
        for (int k = 0; k < LANES; ++k) pack.at[k] = narrow(f(widen(pack.at[k])));
        reinterpret_cast<Pack*>(y)[i] = pack;
    }
    for (long long i = packs * LANES + grid_thread(); i < n; i += grid_threads())
        y[i] = narrow(f(widen(x[i])));
}

template <class F> __device__ __forceinline__ void map(scalar_t* y, const scalar_t* a,
                                                       const scalar_t* b, long long n,
                                                       long long packs, F f) {
    for (long long i = grid_thread(); i < packs; i += grid_threads()) {
        Pack left = reinterpret_cast<const Pack*>(a)[i];
        const Pack right = reinterpret_cast<const Pack*>(b)[i];
#pragma unroll
        for (int k = 0; k < LANES; ++k)
            left.at[k] = narrow(f(widen(left.at[k]), widen(right.at[k])));
        reinterpret_cast<Pack*>(y)[i] = left;
    }
    for (long long i = packs * LANES + grid_thread(); i < n; i += grid_threads())
        y[i] = narrow(f(widen(a[i]), widen(b[i])));
}

extern "C" __global__ void add(scalar_t* y, const scalar_t* a, const scalar_t* b, long long n,
                               long long packs) {
    map(y, a, b, n, packs, [](acc_t a, acc_t b) { return a + b; });
}

extern "C" __global__ void erf_forward(scalar_t* y, const scalar_t* x, long long n, long long packs) {
    map(y, x, n, packs, [](acc_t x) { return acc_t(erf(x)); });
}

extern "C" __global__ void sigmoid(scalar_t* y, const scalar_t* x, long long n, long long packs) {
    map(y, x, n, packs, [](acc_t x) { return logistic(x); });
}

extern "C" __global__ void sigmoid_backward(scalar_t* dx, const scalar_t* g, const scalar_t* y,
                                            long long n, long long packs) {
    map(dx, g, y, n, packs, [](acc_t g, acc_t y) { return g * y * (1 - y); });
}

extern "C" __global__ void tanh_backward(scalar_t* dx, const scalar_t* g, const scalar_t* y,
                                         long long n, long long packs) {
    map(dx, g, y, n, packs, [](acc_t g, acc_t y) { return g * (1 - y * y); });
}

extern "C" __global__ void relu(scalar_t* y, const scalar_t* x, long long n, long long packs) {
    map(y, x, n, packs, [](acc_t x) { return positive_part(x); });
}

extern "C" __global__ void relu_backward(scalar_t* dx, const scalar_t* g, const scalar_t* y,
                                         long long n, long long packs) {
    map(dx, g, y, n, packs, [](acc_t g, acc_t y) { return y > 0 ? g : acc_t(0); });
}

extern "C" __global__ void silu(scalar_t* y, const scalar_t* x, long long n, long long packs) {
    map(y, x, n, packs, [](acc_t x) { return activated(x, SILU); });
}

extern "C" __global__ void silu_backward(scalar_t* dx, const scalar_t* g, const scalar_t* x,
                                         long long n, long long packs) {
    map(dx, g, x, n, packs, [](acc_t g, acc_t x) {
        const acc_t s = logistic(x);
        return g * s * (1 + x * (1 - s));
    });
}

extern "C" __global__ void softplus(scalar_t* y, const scalar_t* x, long long n, long long packs) {
    map(y, x, n, packs, [](acc_t x) {
        return positive_part(x) + acc_t(log1p(exp(x > 0 ? -x : x)));
    });
}

extern "C" __global__ void softplus_backward(scalar_t* dx, const scalar_t* g, const scalar_t* x,
                                             long long n, long long packs) {
    map(dx, g, x, n, packs, [](acc_t g, acc_t x) { return g * logistic(x); });
}

extern "C" __global__ void gelu(scalar_t* y, const scalar_t* x, long long n, long long packs) {
    map(y, x, n, packs, [](acc_t x) { return activated(x, GELU); });
}

extern "C" __global__ void gelu_backward(scalar_t* dx, const scalar_t* g, const scalar_t* x,
                                         long long n, long long packs) {
    map(dx, g, x, n, packs, [](acc_t g, acc_t x) { return g * gelu_slope(x); });
}

extern "C" __global__ void gelu_tanh(scalar_t* y, const scalar_t* x, long long n, long long packs) {
    map(y, x, n, packs, [](acc_t x) { return x * tanh_cdf(x); });
}

extern "C" __global__ void gelu_tanh_backward(scalar_t* dx, const scalar_t* g, const scalar_t* x,
                                              long long n, long long packs) {
    map(dx, g, x, n, packs, [](acc_t g, acc_t x) { return g * gelu_tanh_slope(x); });
}
