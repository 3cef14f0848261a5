// What the scheduler and the checker share: threads as fibers, the block that runs, one message.
#pragma once
#include <string>
#include <vector>

#include "interface.hpp"

namespace emulator {

enum class State : uint8_t { READY, AT_BARRIER, AT_WARP_OPERATION, DONE };
enum class WarpOperation : uint8_t { SYNC, SHUFFLE, BALLOT };

struct AsyncCopy {
    char* to;
    const char* from;
    size_t bytes, valid_bytes;
    const void* site;
};

struct Fiber {
    EmulatorThread thread;  // first: emulator_thread points here
    State state;
    void* stack_pointer;
    char* stack;
    const void* site;  // where it waits, an address in its code
    WarpOperation operation;
    uint32_t mask;
    uint64_t value;  // what it brings to a warp operation, and takes away
    int source_lane;
    std::vector<std::vector<AsyncCopy>> copies;  // by commit group, the open one last
};

constexpr size_t STACK_BYTES = 128 << 10;

extern EmulatorLaunch launch;
extern std::vector<Fiber> fibers;
extern uint32_t live;                     // fibers of the block that have not returned
extern uint64_t block_serial;             // counts blocks from 1, over all launches
extern char *static_shared, *static_shared_end;

inline Fiber* running() { return reinterpret_cast<Fiber*>(emulator_thread); }

// Notes what went wrong, the first time, and leaves the running fiber for good.
// A "{offset}" in the text, of code in the library, is replaced by file and line later.
[[noreturn]] void fail(const std::string& what);
bool failed();
std::string name_of(const EmulatorThread&);
std::string site_text(const void* site);

// The checker's part in what the scheduler does.
void checker_begin_launch();
void checker_begin_block();
void checker_barrier();                                // all threads of the block have met
void checker_warp(uint32_t warp, uint32_t lanes);      // these lanes met at a barrier
void checker_copy_issued(const AsyncCopy&);
void checker_copy_landed(const AsyncCopy&);

}  // namespace emulator
