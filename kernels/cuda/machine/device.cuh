// What every kernel file includes: storage and arithmetic types, vector loads, reductions.
//
// A kernel is compiled once for each dtype, with SCALAR defined by the launcher. Arrays hold
// scalar_t; arithmetic is in acc_t: float, and double where arrays hold double. No header of the
// standard library is used, because NVRTC has none, and no other header of CUDA, because each costs
// a second of compile time.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#ifndef SCALAR
#define SCALAR float
#endif

template <class S> struct Accumulator { typedef float type; };
template <> struct Accumulator<double> { typedef double type; };
typedef SCALAR scalar_t;
typedef Accumulator<scalar_t>::type acc_t;

// Marks on a kernel's parameter that the launcher reads; for the compiler they are empty.
#define OPTIONAL   // the pointer may be null: None in Python
#define ALIGNED16  // the pointer is read 16 bytes at a time
#define MAY_BE_EMPTY  // the array may have no elements

// Shared memory whose size the launch gives: DYNAMIC_SHARED(float, tile) declares float* tile.
#ifndef EMULATOR
#define DYNAMIC_SHARED(type, name)                                  \
    extern __shared__ __align__(1024) unsigned char dynamic_shared[]; \
    type* name = reinterpret_cast<type*>(dynamic_shared)
#endif

constexpr unsigned FULL_WARP = 0xffffffffu;
constexpr int WARP = 32;

// From storage to arithmetic and back, which rounds to nearest even.

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ float widen(__half x) { return __half2float(x); }
__device__ __forceinline__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class S> struct Narrow;
template <> struct Narrow<float> {
    static __device__ __forceinline__ float from(float x) { return x; }
};
template <> struct Narrow<double> {
    static __device__ __forceinline__ double from(double x) { return x; }
};
template <> struct Narrow<__half> {
    static __device__ __forceinline__ __half from(float x) { return __float2half_rn(x); }
};
template <> struct Narrow<__nv_bfloat16> {
    static __device__ __forceinline__ __nv_bfloat16 from(float x) { return __float2bfloat16_rn(x); }
};
__device__ __forceinline__ scalar_t narrow(acc_t x) { return Narrow<scalar_t>::from(x); }

__device__ __forceinline__ acc_t infinity() { return acc_t(__int_as_float(0x7f800000)); }

// N elements that travel as one load or store of up to 16 bytes: *reinterpret_cast<Vector<T, N>*>.
template <class T, int N> struct __align__(sizeof(T) * N) Vector { T at[N]; };
constexpr int LANES = 16 / sizeof(scalar_t);  // elements in 16 bytes
typedef Vector<scalar_t, LANES> Pack;

// Where a thread stands in a one-dimensional grid, and how many threads there are.
__device__ __forceinline__ long long grid_thread() {
    return (long long)blockIdx.x * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ long long grid_threads() { return (long long)gridDim.x * blockDim.x; }

// Reductions. The order of the operations is fixed, so equal inputs give equal bits.

struct Sum {
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return a + b; }
    static __device__ __forceinline__ acc_t start() { return acc_t(0); }
};
struct Max {  // NaN wins, as in NumPy
    static __device__ __forceinline__ acc_t of(acc_t a, acc_t b) {
        return (a > b || a != a) ? a : b;
    }
    static __device__ __forceinline__ acc_t start() { return -infinity(); }
};

// The sum of one thread: runs of 32 elements are added up in acc_t, and then the runs in double. A
// float to which a million others are added one by one would lose half of its digits.
struct LongSum {
    acc_t part = 0;
    double whole = 0;
    int count = 0;

    __device__ __forceinline__ void add(acc_t x) {
        part += x;
        if (++count == 32) {
            whole += part;
            part = 0;
            count = 0;
        }
    }
    __device__ __forceinline__ void scale(acc_t factor) {
        whole *= factor;
        part *= factor;
    }
    __device__ __forceinline__ acc_t value() const { return acc_t(whole + part); }
};

// The reduction of all 32 lanes, in each of them.
template <class Op, class T> __device__ __forceinline__ T warp_reduce(T value) {
#pragma unroll
    for (int step = WARP / 2; step > 0; step /= 2)
        value = Op::of(value, __shfl_xor_sync(FULL_WARP, value, step));
    return value;
}

// The reduction of a one-dimensional block of whole warps, in each of its threads.
// scratch: shared memory with an element for each warp, free again when the function returns.
template <class Op, class T> __device__ __forceinline__ T block_reduce(T value, T* scratch) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    value = warp_reduce<Op>(value);
    if (warps == 1) return value;
    if (lane == 0) scratch[warp] = value;
    __syncthreads();
    value = warp_reduce<Op>(lane < warps ? scratch[lane] : T(Op::start()));
    __syncthreads();
    return value;
}

struct Moments { double mean, squares; };

// The mean of `count` elements and the sum of the squared deviations from it. each(f) calls f(x)
// for the elements of the thread; over(sum) adds up the sums of the threads that share the work.
// Sums of float32 are as good as exact in double, so that equal elements deviate by exactly 0; the
// mean of doubles is corrected by the mean of the deviations.
template <class Each, class Over>
__device__ __forceinline__ Moments moments_of(long long count, Each each, Over over) {
    double sum = 0, squares = 0;
    each([&](double x) { sum += x; });
    double mean = over(sum) / count;
    if (sizeof(scalar_t) == 8) {
        double rest = 0;
        each([&](double x) { rest += x - mean; });
        mean += over(rest) / count;
    }
    each([&](double x) { squares += (x - mean) * (x - mean); });
    return Moments{mean, over(squares)};
}
