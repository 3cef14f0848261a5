// The meaning of CUDA C++ on a CPU: g++ compiles this file ahead of a .cu file.
//
// Qualifiers are empty, threadIdx and its like read the running fiber, and barriers, shuffles and
// atomics call the runtime. NVIDIA's own headers have float4, __half and __nv_bfloat16 for the host.
#pragma once
#include <cmath>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include <vector_types.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "interface.hpp"

#undef __global__
#undef __shared__
#undef __launch_bounds__
#undef __grid_constant__
#define __global__ __attribute__((noinline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
// All static shared memory of a file lies in one section, which is filled with NaN for each block.
#define __shared__ static __attribute__((section("emulator_shared"), used))
extern "C" char __start_emulator_shared[] __attribute__((weak));
extern "C" char __stop_emulator_shared[] __attribute__((weak));

#define DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(emulator_dynamic_memory())

#define EMULATOR_INSIDE inline __attribute__((no_sanitize("thread", "undefined"), noinline))

#ifdef EMULATOR_CHECKED
#define threadIdx (emulator_own_index())
#define blockIdx (emulator_own_block())
#define blockDim (emulator_own_block_size())
#define gridDim (emulator_own_grid_size())
EMULATOR_INSIDE char* emulator_dynamic_memory() { return emulator_dynamic_shared; }
#else
#define threadIdx (emulator_thread->index)
#define blockIdx (emulator_block_index)
#define blockDim (emulator_block_size)
#define gridDim (emulator_grid_size)
inline char* emulator_dynamic_memory() { return emulator_dynamic_shared; }
#endif
#define warpSize 32

inline __attribute__((always_inline)) void __syncthreads() { emulator_barrier(); }
inline __attribute__((always_inline)) void __syncwarp(unsigned mask = ~0u) { emulator_sync_warp(mask); }
inline __attribute__((always_inline)) unsigned __ballot_sync(unsigned mask, int predicate) {
    return emulator_ballot(mask, predicate);
}
inline __attribute__((always_inline)) int __any_sync(unsigned mask, int predicate) {
    return emulator_ballot(mask, predicate) != 0;
}
inline __attribute__((always_inline)) int __all_sync(unsigned mask, int predicate) {
    return emulator_ballot(mask, predicate) == mask;
}

template <class T>
inline __attribute__((always_inline)) T emulator_shuffled(unsigned mask, T value, int source) {
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    uint64_t bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(T));
    bits = emulator_shuffle(mask, bits, source);
    __builtin_memcpy(&value, &bits, sizeof(T));
    return value;
}

inline int emulator_lane() {
#ifdef EMULATOR_CHECKED
    const EmulatorIndex at = emulator_own_index(), size = emulator_own_block_size();
    return (at.x + size.x * (at.y + size.y * at.z)) % 32;
#else
    return emulator_thread->lane;
#endif
}

template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    return emulator_shuffled(mask, value, (emulator_lane() & ~(width - 1)) | (source & (width - 1)));
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
    const int lane = emulator_lane(), source = lane ^ bits;
    return emulator_shuffled(mask, value, source < (lane & ~(width - 1)) + width ? source : lane);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    const int lane = emulator_lane(), source = lane + int(delta);
    return emulator_shuffled(mask, value, source < (lane & ~(width - 1)) + width ? source : lane);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    const int lane = emulator_lane(), source = lane - int(delta);
    return emulator_shuffled(mask, value, source >= (lane & ~(width - 1)) ? source : lane);
}

// Atomics: threads run one at a time, so plain arithmetic is atomic once the checker is told.
template <class T, class F> EMULATOR_INSIDE T emulator_exchange(T* address, F next) {
    emulator_atomic(address, sizeof(T));
    const T old = *address;
    *address = next(old);
    return old;
}
template <class T, class U> T atomicAdd(T* p, U v) {
    return emulator_exchange(p, [=](T old) { return T(old + T(v)); });
}
template <class T> T atomicMax(T* p, T v) {
    return emulator_exchange(p, [=](T old) { return old > v ? old : v; });
}
template <class T> T atomicMin(T* p, T v) {
    return emulator_exchange(p, [=](T old) { return old < v ? old : v; });
}
template <class T> T atomicExch(T* p, T v) {
    return emulator_exchange(p, [=](T) { return v; });
}
template <class T> T atomicCAS(T* p, T expected, T v) {
    return emulator_exchange(p, [=](T old) { return old == expected ? v : old; });
}

template <class T> T __ldg(const T* p) { return *p; }
inline void __threadfence() {}
inline void __threadfence_block() {}

// Bits and intrinsics.
template <class To, class From> To emulator_bits(From value) {
    static_assert(sizeof(To) == sizeof(From), "the same size");
    To to;
    __builtin_memcpy(&to, &value, sizeof(To));
    return to;
}
inline float __int_as_float(int bits) { return emulator_bits<float>(bits); }
inline int __float_as_int(float value) { return emulator_bits<int>(value); }
inline float __uint_as_float(unsigned bits) { return emulator_bits<float>(bits); }
inline unsigned __float_as_uint(float value) { return emulator_bits<unsigned>(value); }
inline double __longlong_as_double(long long bits) { return emulator_bits<double>(bits); }
inline long long __double_as_longlong(double value) { return emulator_bits<long long>(value); }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits ? __builtin_clz(bits) : 32; }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline float rsqrt(float x) { return 1 / std::sqrt(x); }
inline double rsqrt(double x) { return 1 / std::sqrt(x); }
template <class T> T emulator_normcdf(T x) {
    return std::erfc(x * T(-0.70710678118654752440)) / 2;
}
inline float normcdff(float x) { return emulator_normcdf(x); }
inline float normcdf(float x) { return emulator_normcdf(x); }
inline double normcdf(double x) { return emulator_normcdf(x); }
inline void sincospif(float x, float* s, float* c) {
    *s = float(std::sin(M_PI * double(x)));
    *c = float(std::cos(M_PI * double(x)));
}
inline void sincospi(float x, float* s, float* c) { sincospif(x, s, c); }
inline void sincospi(double x, double* s, double* c) {
    *s = std::sin(M_PI * x);
    *c = std::cos(M_PI * x);
}

// By value, as in CUDA: std::max returns a reference, and reading it would be one more load.
template <class T> T max(T a, T b) { return a < b ? b : a; }
template <class T> T min(T a, T b) { return b < a ? b : a; }

using std::abs;
using std::ceil;
using std::cos;
using std::erf;
using std::erfc;
using std::exp;
using std::exp2;
using std::expm1;
using std::floor;
using std::fma;
using std::fmax;
using std::fmin;
using std::isfinite;
using std::isinf;
using std::isnan;
using std::log;
using std::log1p;
using std::pow;
using std::sin;
using std::sqrt;
using std::tanh;

// The entry of a kernel: its arguments come as pointers to values, as for cuLaunchKernel.
template <class... A> struct EmulatorEntry {
    template <void (*kernel)(A...), size_t... I>
    __attribute__((no_sanitize("thread", "undefined"), noinline)) static void unpack(
        void** arguments, std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_reference_t<A>*>(arguments[I])...);
    }
    template <void (*kernel)(A...)> static void call(void** arguments) {
        unpack<kernel>(arguments, std::index_sequence_for<A...>{});
    }
};
template <class... A> EmulatorEntry<A...> emulator_entry_of(void (*)(A...)) { return {}; }

#define EMULATOR_EXPORT(kernel)                                                                 \
    EMULATOR_API int launch_##kernel(const EmulatorLaunch* launch, void** arguments) {          \
        return emulator_launch(launch, decltype(emulator_entry_of(kernel))::call<kernel>,       \
                               arguments, __start_emulator_shared, __stop_emulator_shared);     \
    }
