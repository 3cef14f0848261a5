// What compiled kernels and the emulator's runtime know of each other.
//
// The kernels of one .cu file and the runtime, the .cpp files of this folder, are linked into one
// library. One launch runs at a time.
#pragma once
#include <cstddef>
#include <cstdint>

#define EMULATOR_API extern "C" __attribute__((visibility("default")))

// An array among the kernel's arguments: nothing else in global memory may be touched.
struct EmulatorBuffer {
    char* start;
    uint64_t bytes;
    uint32_t element;  // bytes
    const char* name;  // of the parameter
};

// What a launch moved, added up over its blocks: see counter.cpp.
struct EmulatorCounters {
    uint64_t global_loads, global_stores;  // requests of a warp
    uint64_t load_sectors, store_sectors;  // of 32 bytes
    uint64_t shared_loads, shared_stores;  // requests of a warp
    uint64_t wavefronts, conflicts;        // of shared memory; those beyond the least
};

struct EmulatorLaunch {
    uint32_t grid[3], block[3];
    uint64_t dynamic_shared;  // bytes
    uint32_t schedule;        // see scheduler.cpp
    uint32_t checked;         // whether the kernels were compiled with the checker's hooks
    uint32_t planted;         // the number of a bug that a test has put into the kernels; 0: none
    uint64_t access_limit;    // checked accesses until a launch counts as endless
    const EmulatorBuffer* buffers;
    uint32_t buffer_count;
    EmulatorCounters* counters;  // or null
    char* stacks;                // of the threads of a block: emulator_make_stacks
};

struct EmulatorIndex { uint32_t x, y, z; };

// A tensor map of the emulated device. For a GPU it is 128 bytes that the driver encodes.
struct EmulatorTensorMap {
    const char* base;
    uint64_t sizes[3], strides[3];  // elements, bytes; the innermost axis first
    uint32_t box[3];                // elements of a copy along each axis
    uint32_t element;               // bytes
    uint32_t swizzled;              // 1: 128-byte swizzle
    char unused[128 - 8 - 48 - 12 - 8 - 4];
    uint32_t magic;
};
constexpr uint32_t EMULATOR_TENSOR_MAP = 0x70A57E45;
static_assert(sizeof(EmulatorTensorMap) == 128, "as large as the driver's");

// A CUDA thread, as its kernel sees it.
struct EmulatorThread {
    EmulatorIndex index;
    uint32_t number, lane, warp;
};

extern "C" {
extern EmulatorThread* emulator_thread;      // the thread that runs
extern EmulatorIndex emulator_block_index;   // its block
extern EmulatorIndex emulator_block_size, emulator_grid_size;
extern char* emulator_dynamic_shared;

// The same for checked kernels, by calls: a load of these variables would be checked too.
EmulatorIndex emulator_own_index() __attribute__((const));
EmulatorIndex emulator_own_block() __attribute__((const));
EmulatorIndex emulator_own_block_size() __attribute__((const));
EmulatorIndex emulator_own_grid_size() __attribute__((const));

void emulator_barrier();
void emulator_sync_warp(uint32_t mask);
uint64_t emulator_shuffle(uint32_t mask, uint64_t value, int source_lane);
uint32_t emulator_ballot(uint32_t mask, int predicate);
void emulator_atomic(void* address, size_t bytes);  // says that what follows is atomic
int emulator_planted(int bug) __attribute__((const));  // 1 if that bug is active, else 0

// Copies that land late: between issue and wait the destination must not be touched.
void emulator_copy_async(void* to, const void* from, size_t bytes, size_t valid_bytes);
void emulator_copy_commit();
void emulator_copy_wait(unsigned groups_left);

// Matrices in the registers of a warp: the meaning of functions of ptx.cuh.
enum EmulatorOperand { EMULATOR_FLOAT16, EMULATOR_BFLOAT16, EMULATOR_TF32 };
void emulator_load_matrices(uint32_t* registers, const void* row, bool transposed);
void emulator_multiply(float* const* sums, const uint32_t* a, const uint32_t* b, EmulatorOperand);

// Barriers in shared memory, the copies that arrive at them, and products and registers of a
// warpgroup.
void emulator_mbarrier_init(uint64_t* barrier, uint32_t arrivals);
void emulator_mbarrier_fence_init();
void emulator_mbarrier_arrive(uint64_t* barrier, uint32_t expected_bytes);
void emulator_mbarrier_wait(uint64_t* barrier, uint32_t parity);
void emulator_tensor_load(void* to, const void* map, uint64_t* barrier, int x, int y, int z);
uint32_t emulator_shared_address(const void*);
void emulator_wgmma_fence();
void emulator_wgmma(float* sums, uint64_t a, uint64_t b, uint32_t columns, bool a_across,
                    bool b_across, EmulatorOperand);
void emulator_wgmma_commit();
void emulator_wgmma_wait(unsigned groups_left);
void emulator_set_registers(uint32_t count, bool increases);

// Runs `call(arguments)` as every thread of every block; 0, or 1 with a message.
int emulator_launch(const EmulatorLaunch*, void (*call)(void**), void** arguments,
                    char* static_shared, char* static_shared_end);
}
