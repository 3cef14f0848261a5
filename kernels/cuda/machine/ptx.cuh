// PTX instructions for which CUDA C++ has no function. Each is wrapped once, with the asm for the
// device and a call for the emulator. Asynchronous copies, ldmatrix and mma.sync need sm_80;
// mbarriers, tensor copies, wgmma and setmaxnreg need sm_90a.
#pragma once
#include "device.cuh"

typedef unsigned long long Mbarrier;  // in shared memory
struct __align__(64) TensorMap { unsigned long long opaque[16]; };

// An address in shared memory, in the form that instructions take.
__device__ __forceinline__ unsigned shared_address(const void* p) {
#ifdef EMULATOR
    return emulator_shared_address(p);
#else
    return (unsigned)__cvta_generic_to_shared(p);
#endif
}

// cp.async: copies 16 bytes from global to shared memory, past the registers, while the thread goes
// on. If `valid` is false, zeros are written and `from` is not read. This thread may read the bytes
// when it has waited for their group, and other threads after a barrier that follows.
__device__ __forceinline__ void copy_async_16(void* to, const void* from, bool valid) {
#ifdef EMULATOR
    emulator_copy_async(to, from, 16, valid ? 16 : 0);
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(to)), "l"(from),
                 "r"(valid ? 16 : 0)
                 : "memory");
#endif
}

// Ends a group: all copies issued since the last one.
__device__ __forceinline__ void copy_async_commit() {
#ifdef EMULATOR
    emulator_copy_commit();
#else
    asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}

// Waits until at most LEFT groups, the latest, are still on their way.
template <int LEFT> __device__ __forceinline__ void copy_async_wait() {
#ifdef EMULATOR
    emulator_copy_wait(LEFT);
#else
    asm volatile("cp.async.wait_group %0;\n" ::"n"(LEFT) : "memory");
#endif
}

// ldmatrix: loads four matrices of 8 rows of 16 bytes from shared memory. Lane 8 m + r says where
// row r of matrix m is; lane l gets from each matrix the word l % 4, of 32 bits, of row l / 4.
__device__ __forceinline__ void load_matrices(unsigned (&registers)[4], const void* row) {
#ifdef EMULATOR
    emulator_load_matrices(registers, row, false);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(shared_address(row))
                 : "memory");
#endif
}

// The same for matrices of 16-bit elements, transposed on the way: lane l gets from column l / 4 of
// each matrix the elements 2 (l % 4) and next.
__device__ __forceinline__ void load_matrices_transposed(unsigned (&registers)[4], const void* row) {
#ifdef EMULATOR
    emulator_load_matrices(registers, row, true);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(shared_address(row))
                 : "memory");
#endif
}

// mma.sync: (16, 8) float sums += A (16, k) B (k, 8) by a warp; k is 16, or 8 for tf32. Lane l holds
// the sums of row l / 4 (s0, s1) and l / 4 + 8 (s2, s3) in the columns 2 (l % 4) and next; a and b
// are the registers that load_matrices fills.
#define MMA(shape, type)                                                                     \
    asm volatile("mma.sync.aligned." shape ".row.col.f32." type "." type                     \
                 ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"    \
                 : "+f"(s0), "+f"(s1), "+f"(s2), "+f"(s3)                                    \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))

template <class T> struct Multiply;
#ifdef EMULATOR
#define MULTIPLY(T, shape, type, operand)                                                     \
    template <> struct Multiply<T> {                                                          \
        static constexpr EmulatorOperand OPERAND = operand;                                   \
        static __device__ __forceinline__ void add(float& s0, float& s1, float& s2, float& s3, \
                                                   const unsigned* a, const unsigned* b) {    \
            float* const sums[4] = {&s0, &s1, &s2, &s3};                                      \
            emulator_multiply(sums, a, b, operand);                                           \
        }                                                                                     \
    }
#else
#define MULTIPLY(T, shape, type, operand)                                                     \
    template <> struct Multiply<T> {                                                          \
        static constexpr bool IS_FLOAT16 = type[0] == 'f';                                    \
        static __device__ __forceinline__ void add(float& s0, float& s1, float& s2, float& s3, \
                                                   const unsigned* a, const unsigned* b) {    \
            MMA(shape, type);                                                                 \
        }                                                                                     \
    }
#endif
MULTIPLY(__half, "m16n8k16", "f16", EMULATOR_FLOAT16);
MULTIPLY(__nv_bfloat16, "m16n8k16", "bf16", EMULATOR_BFLOAT16);
MULTIPLY(float, "m16n8k8", "tf32", EMULATOR_TF32);

// A float's bits, rounded to the 11 bits of tf32, ties away from zero.
__device__ __forceinline__ unsigned to_tf32(float x) {
#ifdef EMULATOR
    const unsigned bits = __float_as_uint(x);
    return (bits & 0x7F800000u) == 0x7F800000u ? bits : (bits + 0x1000u) & ~0x1FFFu;
#else
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(bits) : "f"(x));
    return bits;
#endif
}

// mbarrier: a barrier in shared memory. A phase ends when `arrivals` threads have arrived and all
// the bytes that they expect have come. One thread initialises it and fences; then a barrier must
// follow.
__device__ __forceinline__ void mbarrier_init(Mbarrier* barrier, unsigned arrivals) {
#ifdef EMULATOR
    emulator_mbarrier_init((uint64_t*)barrier, arrivals);
#else
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(shared_address(barrier)),
                 "r"(arrivals)
                 : "memory");
#endif
}

__device__ __forceinline__ void mbarrier_fence_init() {
#ifdef EMULATOR
    emulator_mbarrier_fence_init();
#else
    asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
#endif
}

// Arrives; the phase does not end before `expected` more bytes have come, too.
__device__ __forceinline__ void mbarrier_arrive(Mbarrier* barrier, unsigned expected = 0) {
#ifdef EMULATOR
    emulator_mbarrier_arrive((uint64_t*)barrier, expected);
#else
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(
                     shared_address(barrier)),
                 "r"(expected)
                 : "memory");
#endif
}

// Waits for the end of the phase of this parity: 0 for the first, 1 for the second, and so on.
__device__ __forceinline__ void mbarrier_wait(Mbarrier* barrier, unsigned parity) {
#ifdef EMULATOR
    emulator_mbarrier_wait((uint64_t*)barrier, parity);
#else
    asm volatile(
        "{\n.reg .pred done;\nagain_%=:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again_%=;\n}\n" ::"r"(shared_address(barrier)),
        "r"(parity)
        : "memory");
#endif
}

// TMA: copies the box of a tensor of three axes that begins at (x, y, z), with zeros outside the
// tensor, into shared memory. Its bytes arrive at the barrier.
__device__ __forceinline__ void tensor_load(void* to, const TensorMap* map, Mbarrier* barrier, int x,
                                            int y, int z) {
#ifdef EMULATOR
    emulator_tensor_load(to, map, (uint64_t*)barrier, x, y, z);
#else
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3, %4, %5}], [%2];\n" ::"r"(shared_address(to)),
        "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z)
        : "memory");
#endif
}

// wgmma: products of a warpgroup, which run beside its threads. Their sums may be read after a
// wait, and a fence must precede the first product that adds to them.
__device__ __forceinline__ void wgmma_fence() {
#ifdef EMULATOR
    emulator_wgmma_fence();
#else
    asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
#endif
}

__device__ __forceinline__ void wgmma_commit() {
#ifdef EMULATOR
    emulator_wgmma_commit();
#else
    asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
#endif
}

// Waits until at most LEFT groups, the latest, are in flight.
template <int LEFT> __device__ __forceinline__ void wgmma_wait() {
#ifdef EMULATOR
    emulator_wgmma_wait(LEFT);
#else
    asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(LEFT) : "memory");
#endif
}

// The descriptor of a tile in shared memory, 128-byte swizzled. Along k it has rows of 64 elements,
// one below the other, and each group of 8 rows lies `stride` bytes after the last. Across it has,
// for each k, rows of 64 elements along m (or n); each group of 8 k lies `stride` bytes after the
// last, and each 64 elements of m (or n) `leading` bytes.
__device__ __forceinline__ unsigned long long wgmma_descriptor(const void* tile, unsigned leading,
                                                               unsigned stride) {
    return (unsigned long long)(shared_address(tile) >> 4 & 0x3FFF) |
           (unsigned long long)(leading >> 4 & 0x3FFF) << 16 |
           (unsigned long long)(stride >> 4 & 0x3FFF) << 32 | 1ull << 62;
}

// sums (64, 128) += A (64, 16) B (16, 128); ACROSS: the operand lies along m (or n). Thread t of
// the warpgroup holds sums as in mma.sync, of the rows from 16 (t / 32) on, for 8 columns after 8
// columns.
template <class T, bool A_ACROSS, bool B_ACROSS>
__device__ __forceinline__ void wgmma_128(float (&s)[64], unsigned long long a,
                                          unsigned long long b) {
#ifdef EMULATOR
    emulator_wgmma(s, a, b, 128, A_ACROSS, B_ACROSS, Multiply<T>::OPERAND);
#else
#define EIGHT(i)                                                                                 \
    "+f"(s[i]), "+f"(s[i + 1]), "+f"(s[i + 2]), "+f"(s[i + 3]), "+f"(s[i + 4]), "+f"(s[i + 5]), \
        "+f"(s[i + 6]), "+f"(s[i + 7])
#define WGMMA(type)                                                                              \
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type                    \
                 " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, " \
                 "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "   \
                 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, "   \
                 "%47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "   \
                 "%62, %63}, %64, %65, 1, 1, 1, %66, %67;\n"                                     \
                 : EIGHT(0), EIGHT(8), EIGHT(16), EIGHT(24), EIGHT(32), EIGHT(40), EIGHT(48),    \
                   EIGHT(56)                                                                     \
                 : "l"(a), "l"(b), "n"(int(A_ACROSS)), "n"(int(B_ACROSS)))
    if constexpr (Multiply<T>::IS_FLOAT16)
        WGMMA("f16");
    else
        WGMMA("bf16");
#endif
}

// setmaxnreg: how many registers each thread of a warpgroup has from now on, a multiple of 8. All
// threads of the warpgroup come to it, and an increase waits until the others have given away
// enough.
template <int COUNT>
constexpr bool IS_REGISTER_COUNT = COUNT % 8 == 0 && COUNT >= 24 && COUNT <= 256;

template <int COUNT> __device__ __forceinline__ void registers_decrease() {
    static_assert(IS_REGISTER_COUNT<COUNT>, "what the instruction takes");
#ifdef EMULATOR
    emulator_set_registers(COUNT, false);
#else
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(COUNT));
#endif
}

template <int COUNT> __device__ __forceinline__ void registers_increase() {
    static_assert(IS_REGISTER_COUNT<COUNT>, "what the instruction takes");
#ifdef EMULATOR
    emulator_set_registers(COUNT, true);
#else
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(COUNT));
#endif
}
