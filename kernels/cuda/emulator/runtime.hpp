// What the files of the runtime know of each other, from the lowest floor to the highest.
//
// A file calls only what is declared above its own part. So checker.cpp calls only fibers.cpp and
// counter.cpp, and scheduler.cpp, which runs a launch, may call all. tests/test_layout.py checks
// this.
#pragma once
#include <string>
#include <vector>

#include "interface.hpp"

namespace emulator {

enum class State : uint8_t {
    READY, AT_BARRIER, AT_WARP_OPERATION, AT_MBARRIER, AT_WARPGROUP, AT_REGISTERS, DONE
};
enum class WarpOperation : uint8_t { SYNC, SHUFFLE, BALLOT, LOAD_MATRICES, MULTIPLY };
enum Schedule : uint32_t { FALLING = 1, GREEDY = 2, WAITERS_FIRST = 4, COPIES_AT_ONCE = 8 };

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
    const void* waits_at;  // the mbarrier, warpgroup or registers that it waits for
    int source_lane;
    std::vector<std::vector<AsyncCopy>> copies;  // by commit group, the open one last
};

constexpr size_t STACK_BYTES = 128 << 10, MAX_THREADS = 1024;

extern EmulatorLaunch launch;
extern std::vector<Fiber> fibers;
extern uint32_t live;                     // fibers of the block that have not returned
extern uint64_t block_serial;             // counts blocks from 1, over all launches
extern char *static_shared, *static_shared_end;

constexpr uint32_t WARP = 32, WARPGROUP = 128;

// Fibers, the block that runs, and one message: fibers.cpp.
inline Fiber* running() { return reinterpret_cast<Fiber*>(emulator_thread); }

// Keeps the first report of what went wrong, and leaves the running fiber for good. An "{offset}"
// in the text, of code in the library, is later replaced by file and line.
[[noreturn]] void fail(const std::string& what);
void report(const EmulatorThread&, const std::string& what);  // the same without leaving
bool failed();
void forget_failure();
std::string name_of(const EmulatorThread&);
std::string site_text(const void* site);

// Gives a fiber a stack from which the first `enter` "returns" into `main`.
void prepare(Fiber&, void (*main)());
void enter(Fiber&);  // by the scheduler: runs a fiber until it leaves
void leave();        // by a fiber: back to the scheduler
void wait(State state, const void* site);
void make_ready(State waiting, const void* at);  // all fibers that wait at this
void yield_to_waiters();                         // in the schedules that let them go first

// What is counted: counter.cpp.
void counter_begin_block();
void counter_access(uint64_t address, size_t bytes, bool write, bool shared, const void* site);
void counter_bulk_load(uint64_t bytes);  // of a tensor copy
void counter_end_block();

// Every access, and what orders it: checker.cpp.
void checker_begin_launch();
void checker_end_launch();
void checker_begin_block();
void checker_barrier();                                // all threads of the block have met
void checker_warp(uint32_t warp, uint32_t lanes);      // these lanes met at a barrier
void checker_copy_issued(const AsyncCopy&);
void checker_copy_landed(const AsyncCopy&);

// Agents read and write shared memory beside the threads: the copies that complete at an mbarrier,
// and the products of a warpgroup. Each has a slot in the vector clocks.
constexpr uint32_t MAX_AGENTS = 96;
typedef std::vector<uint32_t> Clocks;
uint32_t checker_agent(const char* name);  // the number of a new one
void checker_touch(const void* address, size_t bytes, bool write, bool atomic, const void* site);
void checker_agent_read(const void* address, size_t bytes, const void* site);  // of global memory
void checker_agent_touch(uint32_t agent, uint32_t clock, const void* address, size_t bytes,
                         bool write, const void* site);
void checker_release(Clocks& into);            // what the running thread has seen and done
void checker_acquire(const Clocks& from);      // the running thread sees all of it
void checker_agent_done(Clocks& at, uint32_t agent, uint32_t clock);

// Operations of a warp: warps.cpp.
void warps_begin_block();
// Every lane of a warp brings a value; the last one runs `together` on all 32 values.
void with_whole_warp(WarpOperation, uint64_t value, const void* site,
                     void (*together)(const uint64_t* values));

// The value of an operand in the lowest bits of a register: matrices.cpp.
float operand_value(EmulatorOperand, uint32_t bits, const void* site);

// What is in flight beside the threads: asynchronous.cpp.
void asynchronous_begin_block();
bool asynchronous_progress();  // lets one thing land; false if nothing is in flight
void asynchronous_end_thread();
void asynchronous_end_block();
std::string mbarrier_text(const void* barrier);  // what a barrier still waits for

// What the warpgroups hold: registers.cpp.
void registers_begin_block();
std::string registers_text(const EmulatorThread&);  // what its warpgroup still waits for

}  // namespace emulator
