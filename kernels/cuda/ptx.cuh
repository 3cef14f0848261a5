// PTX instructions that CUDA C++ has no function for, each once: the asm for the device, and its
// meaning for the emulator.
#pragma once
#include "device.cuh"

// cp.async: 16 bytes from global to shared memory, past the registers, while the thread goes on.
// Where `valid` is false zeros are written and `from` is not read. The bytes may be looked at
// once this thread has waited for their group and, by other threads, a barrier has followed.
__device__ __forceinline__ void copy_async_16(void* to, const void* from, bool valid) {
#ifdef EMULATOR
    emulator_copy_async(to, from, 16, valid ? 16 : 0);
#else
    const unsigned address = (unsigned)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(address), "l"(from),
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
