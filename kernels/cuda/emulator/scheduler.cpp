// The threads of a block as fibers, one block after the other: barriers and warp operations.
//
// A fiber runs until it waits. The schedule, a number, says who goes on:
//   bit 0  warps and lanes in falling order instead of rising
//   bit 1  a warp runs ahead to its next block barrier before another one moves
//   bit 2  whoever waits on what has just completed runs before the one that completed it
//   bit 3  late copies land at once instead of as late as allowed
//   above 15: the order of the warps is shuffled as well
// A correct kernel gives the same results in all of them.
#include <dlfcn.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "runtime.hpp"

extern "C" {
EmulatorThread* emulator_thread;
EmulatorIndex emulator_block_index, emulator_block_size, emulator_grid_size;
char* emulator_dynamic_shared;
}

namespace emulator {

EmulatorLaunch launch;
std::vector<Fiber> fibers;
uint32_t live;
uint64_t block_serial;
char *static_shared, *static_shared_end;

namespace {

std::string message;
void (*kernel)(void**);
void** kernel_arguments;
std::vector<uint32_t> warp_order, waiting_lanes;  // by warp: lanes that wait at a warp operation
uint32_t at_barrier;

// Switching fibers: save the callee's registers on the stack, exchange the stacks.
#if defined(__x86_64__)
extern "C" void emulator_switch(void** save, void* to);
__asm__(
    ".text\n.hidden emulator_switch\n.globl emulator_switch\n"
    ".type emulator_switch,@function\nemulator_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp,(%rdi)\n  movq %rsi,%rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n  ret\n");
constexpr int SAVED = 6;
#elif defined(__aarch64__)
extern "C" void emulator_switch(void** save, void* to);
__asm__(
    ".text\n.hidden emulator_switch\n.globl emulator_switch\n"
    ".type emulator_switch,%function\nemulator_switch:\n"
    "  sub sp, sp, #160\n"
    "  stp x19, x20, [sp, #0]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n"
    "  stp x25, x26, [sp, #48]\n  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n"
    "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n  stp d12, d13, [sp, #128]\n"
    "  stp d14, d15, [sp, #144]\n"
    "  mov x9, sp\n  str x9, [x0]\n  mov sp, x1\n"
    "  ldp x19, x20, [sp, #0]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n"
    "  ldp x25, x26, [sp, #48]\n  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n"
    "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n  ldp d12, d13, [sp, #128]\n"
    "  ldp d14, d15, [sp, #144]\n"
    "  add sp, sp, #160\n  ret\n");
#else
#error "the emulator switches fibers on x86-64 and 64-bit ARM only"
#endif

void* scheduler_stack;

void leave() { emulator_switch(&running()->stack_pointer, scheduler_stack); }

void enter(Fiber& fiber) {
    emulator_thread = &fiber.thread;
    emulator_switch(&scheduler_stack, fiber.stack_pointer);
}

void fiber_main() {
    kernel(kernel_arguments);
    asynchronous_end_thread();
    running()->state = State::DONE;
    --live;
    leave();
    abort();  // nobody enters a fiber that is done
}

// A stack on which the first switch "returns" into fiber_main.
void prepare(Fiber& fiber) {
    void** top = reinterpret_cast<void**>(fiber.stack + STACK_BYTES - 64);
#if defined(__x86_64__)
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(fiber_main);
    top -= SAVED;
    memset(top, 0, SAVED * sizeof(void*));
#else
    top -= 20;
    memset(top, 0, 20 * sizeof(void*));
    top[11] = reinterpret_cast<void*>(fiber_main);  // x30, the return address
#endif
    fiber.stack_pointer = top;
    fiber.state = State::READY;
    fiber.copies.clear();
}

void order_warps() {
    const uint32_t warps = (fibers.size() + 31) / 32;
    warp_order.resize(warps);
    for (uint32_t i = 0; i < warps; ++i)
        warp_order[i] = launch.schedule & FALLING ? warps - 1 - i : i;
    if (launch.schedule <= 15) return;
    uint64_t state = 88172645463325252ull + launch.schedule * 7919ull;
    for (uint32_t i = warps; i > 1; --i) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        std::swap(warp_order[i - 1], warp_order[state % i]);
    }
}

// Fails unless all threads of the block stand at one and the same barrier.
void check_barrier() {
    if (!launch.checked && live == fibers.size()) return;
    for (Fiber& fiber : fibers) {
        if (fiber.state == State::DONE)
            fail("divergent barrier: it waits at " + site_text(running()->site) +
                 ", but " + name_of(fiber.thread) + " has returned");
        if (launch.checked && fiber.site != running()->site)
            fail("divergent barrier: it waits at " + site_text(running()->site) + ", but " +
                 name_of(fiber.thread) + " at " + site_text(fiber.site));
    }
}

// How many fibers must come to where one waits: a warp, a warpgroup, or the whole block.
size_t companions(const Fiber& fiber) {
    if (fiber.state == State::AT_WARP_OPERATION) return WARP;
    const bool group = fiber.state == State::AT_WARPGROUP || fiber.state == State::AT_REGISTERS;
    return group ? WARPGROUP : fibers.size();
}

// Reports a fiber of those with the fewest companions: the others may wait for these.
void report_deadlock() {
    const Fiber* stuck = nullptr;
    for (const Fiber& fiber : fibers)
        if (fiber.state != State::DONE && (!stuck || companions(fiber) < companions(*stuck)))
            stuck = &fiber;
    const bool barrier = stuck->state == State::AT_BARRIER;
    std::string text = barrier ? "divergent barrier: it waits at " : "deadlock: it waits at ";
    text += site_text(stuck->site);
    if (stuck->state == State::AT_MBARRIER) text += mbarrier_text(stuck->waits_at);
    const size_t size = companions(*stuck), first = stuck->thread.number / size * size;
    for (size_t i = first; i < std::min(first + size, fibers.size()); ++i) {
        const Fiber& other = fibers[i];
        if (other.state == stuck->state) continue;
        text += ", but " + name_of(other.thread);
        text += other.state == State::DONE ? " has returned" : " waits at " + site_text(other.site);
        break;
    }
    if (stuck->state == State::AT_WARPGROUP)
        text += " (a wait of the whole warpgroup, to which some threads never come)";
    if (stuck->state == State::AT_REGISTERS) text += registers_text(stuck->thread);
    if (stuck->state == State::AT_WARP_OPERATION)
        text += " (a warp operation whose mask names lanes that never come)";
    message = name_of(stuck->thread) + ": " + text;
}

// One pass over all warps; whether any fiber moved.
bool run_ready() {
    bool moved = false;
    for (uint32_t warp : warp_order) {
        const uint32_t first = warp * 32, end = std::min<uint32_t>(first + 32, fibers.size());
        bool again = true;
        while (again) {
            again = false;
            for (uint32_t i = first; i < end; ++i) {
                Fiber& fiber = fibers[launch.schedule & FALLING ? end - 1 - (i - first) : i];
                if (fiber.state != State::READY) continue;
                enter(fiber);
                if (failed()) return false;
                moved = true;
                again = launch.schedule & GREEDY;
            }
        }
    }
    return moved;
}

void run_block() {
    ++block_serial;
    live = fibers.size();
    at_barrier = 0;
    waiting_lanes.assign((fibers.size() + 31) / 32, 0);
    if (launch.checked) {
        if (static_shared) memset(static_shared, 0xFF, static_shared_end - static_shared);
        if (launch.dynamic_shared) memset(emulator_dynamic_shared, 0xFF, launch.dynamic_shared);
        checker_begin_block();
    }
    for (Fiber& fiber : fibers) prepare(fiber);
    asynchronous_begin_block();
    registers_begin_block();
    while (live && !failed()) {
        if (run_ready() || !live || failed() || asynchronous_progress()) continue;
        report_deadlock();
    }
    if (failed()) return;
    asynchronous_end_block();
    counter_end_block();
}

void release_barrier() {
    check_barrier();
    at_barrier = 0;
    for (Fiber& fiber : fibers)
        if (fiber.state == State::AT_BARRIER) fiber.state = State::READY;
    if (launch.checked) checker_barrier();
}

// Every lane of `mask` calls; true for the last one, which completes the operation for all.
bool last_of_warp(WarpOperation operation, uint32_t mask, uint64_t value, int source,
                  const void* site) {
    Fiber* self = running();
    self->operation = operation;
    self->mask = mask;
    self->value = value;
    self->source_lane = source;
    self->site = site;
    if (!(mask >> self->thread.lane & 1))
        fail("warp operation at " + site_text(site) + ": the mask leaves out the calling lane");
    uint32_t& waiting = waiting_lanes[self->thread.warp];
    waiting |= 1u << self->thread.lane;
    if ((waiting & mask) != mask) {
        wait(State::AT_WARP_OPERATION, site);
        return false;
    }
    const Fiber* lanes = &fibers[self->thread.warp * WARP];
    for (uint32_t i = 0; i < WARP; ++i)
        if ((mask >> i & 1) && (lanes[i].operation != operation || lanes[i].mask != mask))
            fail("warp operation at " + site_text(site) + ": " + name_of(lanes[i].thread) +
                 " waits at another one, at " + site_text(lanes[i].site));
    return true;
}

void release_warp(uint32_t mask) {
    const uint32_t warp = running()->thread.warp;
    for (uint32_t i = 0; i < WARP; ++i)
        if (mask >> i & 1) fibers[warp * WARP + i].state = State::READY;
    waiting_lanes[warp] &= ~mask;
    yield_to_waiters();
}

uint64_t warp_operation(WarpOperation operation, uint32_t mask, uint64_t value, int source,
                        const void* site) {
    Fiber* self = running();
    if (!last_of_warp(operation, mask, value, source, site)) return self->value;
    Fiber* lanes = &fibers[self->thread.warp * WARP];
    uint64_t results[WARP];
    uint32_t ballot = 0;
    for (uint32_t i = 0; i < WARP; ++i)
        if (mask >> i & 1) ballot |= uint32_t(lanes[i].value != 0) << i;
    for (uint32_t i = 0; i < WARP; ++i) {
        if (!(mask >> i & 1)) continue;
        if (operation == WarpOperation::SHUFFLE) {
            if (!(mask >> lanes[i].source_lane & 1))
                fail("shuffle at " + site_text(site) + " reads a lane outside its mask");
            results[i] = lanes[lanes[i].source_lane].value;
        } else {
            results[i] = ballot;
        }
    }
    for (uint32_t i = 0; i < WARP; ++i)
        if (mask >> i & 1) lanes[i].value = results[i];
    // Shuffles and votes exchange values; only the barrier orders memory.
    if (launch.checked && operation == WarpOperation::SYNC)
        checker_warp(self->thread.warp, mask);
    release_warp(mask);
    return self->value;
}

void land(const AsyncCopy& copy) {
    memset(copy.to, 0, copy.bytes);
    memcpy(copy.to, copy.from, copy.valid_bytes);
}

std::vector<std::vector<AsyncCopy>>& copy_groups() {
    auto& groups = running()->copies;
    if (groups.empty()) groups.emplace_back();
    return groups;
}

void make_fibers() {
    const uint32_t *b = launch.block, count = b[0] * b[1] * b[2];
    fibers.resize(count);
    for (uint32_t i = 0; i < count; ++i) {
        fibers[i].thread = {{i % b[0], i / b[0] % b[1], i / (b[0] * b[1])}, i, i % 32, i / 32};
        fibers[i].stack = launch.stacks + i * STACK_BYTES;
    }
}

}  // namespace

void wait(State state, const void* site) {
    Fiber* self = running();
    self->state = state;
    self->site = site;
    leave();
}

void make_ready(State waiting, const void* at) {
    for (Fiber& fiber : fibers)
        if (fiber.state == waiting && fiber.waits_at == at) fiber.state = State::READY;
}

void yield_to_waiters() {
    if (launch.schedule & WAITERS_FIRST) leave();
}

void with_whole_warp(WarpOperation operation, uint64_t value, const void* site,
                     void (*together)(const uint64_t*)) {
    if (!last_of_warp(operation, ~0u, value, 0, site)) return;
    uint64_t values[WARP];
    const Fiber* lanes = &fibers[running()->thread.warp * WARP];
    for (uint32_t i = 0; i < WARP; ++i) values[i] = lanes[i].value;
    together(values);
    release_warp(~0u);
}

std::string name_of(const EmulatorThread& thread) {
    char text[160];
    snprintf(text, sizeof text, "block (%u,%u,%u) thread (%u,%u,%u)", emulator_block_index.x,
             emulator_block_index.y, emulator_block_index.z, thread.index.x, thread.index.y,
             thread.index.z);
    return text;
}

std::string site_text(const void* site) {
    Dl_info library;
    char text[32];
    const bool found = dladdr(site, &library) != 0;
    const char* base = found ? static_cast<char*>(library.dli_fbase) : nullptr;
    // One byte back, to lie within the call and not behind it.
    snprintf(text, sizeof text, "{%tx}", static_cast<const char*>(site) - base - 1);
    return text;
}

bool failed() { return !message.empty(); }

void fail(const std::string& what) {
    if (message.empty()) message = name_of(running()->thread) + ": " + what;
    leave();
    abort();  // a block that failed is not gone on with
}

}  // namespace emulator

using namespace emulator;
#define CALLER __builtin_return_address(0)

EmulatorIndex emulator_own_index() { return emulator_thread->index; }
EmulatorIndex emulator_own_block() { return emulator_block_index; }
EmulatorIndex emulator_own_block_size() { return emulator_block_size; }
EmulatorIndex emulator_own_grid_size() { return emulator_grid_size; }

void emulator_barrier() {
    Fiber* self = running();
    self->site = CALLER;
    if (++at_barrier < live) {
        wait(State::AT_BARRIER, CALLER);
        return;
    }
    release_barrier();
    yield_to_waiters();
}

void emulator_sync_warp(uint32_t mask) { warp_operation(WarpOperation::SYNC, mask, 0, 0, CALLER); }

uint64_t emulator_shuffle(uint32_t mask, uint64_t value, int source_lane) {
    return warp_operation(WarpOperation::SHUFFLE, mask, value, source_lane, CALLER);
}

uint32_t emulator_ballot(uint32_t mask, int predicate) {
    return uint32_t(warp_operation(WarpOperation::BALLOT, mask, predicate != 0, 0, CALLER));
}

int emulator_planted(int bug) { return launch.planted == uint32_t(bug); }

void emulator_copy_async(void* to, const void* from, size_t bytes, size_t valid_bytes) {
    const AsyncCopy copy{static_cast<char*>(to), static_cast<const char*>(from), bytes, valid_bytes,
                         CALLER};
    if (uintptr_t(to) % bytes || uintptr_t(from) % bytes)
        fail("cp.async at " + site_text(CALLER) + " of misaligned addresses");
    if (launch.checked) checker_copy_issued(copy);
    if (launch.schedule & COPIES_AT_ONCE)
        land(copy);
    else
        memset(copy.to, 0xFF, bytes);
    copy_groups().back().push_back(copy);
}

void emulator_copy_commit() { copy_groups().emplace_back(); }

void emulator_copy_wait(unsigned groups_left) {
    auto& groups = copy_groups();
    while (groups.size() > groups_left + 1) {
        for (const AsyncCopy& copy : groups.front()) {
            if (!(launch.schedule & COPIES_AT_ONCE)) land(copy);
            if (launch.checked) checker_copy_landed(copy);
        }
        groups.erase(groups.begin());
    }
}

int emulator_launch(const EmulatorLaunch* given, void (*call)(void**), void** arguments,
                    char* shared, char* shared_end) {
    launch = *given;
    kernel = call;
    kernel_arguments = arguments;
    static_shared = shared;
    static_shared_end = shared_end;
    message.clear();
    emulator_grid_size = {launch.grid[0], launch.grid[1], launch.grid[2]};
    emulator_block_size = {launch.block[0], launch.block[1], launch.block[2]};
    void* dynamic = nullptr;
    if (launch.dynamic_shared && posix_memalign(&dynamic, 1024, launch.dynamic_shared)) abort();
    emulator_dynamic_shared = static_cast<char*>(dynamic);
    make_fibers();
    order_warps();
    if (launch.checked) checker_begin_launch();
    for (uint32_t z = 0; z < launch.grid[2] && !failed(); ++z)
        for (uint32_t y = 0; y < launch.grid[1] && !failed(); ++y)
            for (uint32_t x = 0; x < launch.grid[0] && !failed(); ++x) {
                emulator_block_index = {x, y, z};
                run_block();
            }
    free(dynamic);
    return failed();
}

EMULATOR_API char* emulator_make_stacks() {
    void* stacks = mmap(nullptr, MAX_THREADS * STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED) return nullptr;
    char* first = static_cast<char*>(stacks);
    for (size_t i = 0; i < MAX_THREADS; ++i)
        mprotect(first + i * STACK_BYTES, 4096, PROT_NONE);  // an overflow faults, and stops there
    return first;
}

EMULATOR_API const char* emulator_message() { return message.c_str(); }
