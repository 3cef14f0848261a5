// A launch: one block after the other, its threads in turn, their barriers and late copies.
//
// A fiber runs until it waits. The schedule, a number, says which fiber runs next:
//   bit 0  warps and lanes in falling order instead of rising
//   bit 1  a warp runs ahead to its next block barrier before another one moves
//   bit 2  whoever waits on what has just completed runs before the one that completed it
//   bit 3  late copies land at once instead of as late as allowed
//   above 15: the order of the warps is shuffled as well
// A correct kernel gives the same results in all of them.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "runtime.hpp"

namespace emulator {

namespace {

void (*kernel)(void**);
void** kernel_arguments;
std::vector<uint32_t> warp_order;
uint32_t at_barrier;

void fiber_main() {
    kernel(kernel_arguments);
    asynchronous_end_thread();
    running()->state = State::DONE;
    --live;
    leave();
    abort();  // a fiber that is done is never entered again
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

// How many fibers must come to the place where one waits: a warp, a warpgroup, or the whole block.
size_t companions(const Fiber& fiber) {
    if (fiber.state == State::AT_WARP_OPERATION) return WARP;
    const bool group = fiber.state == State::AT_WARPGROUP || fiber.state == State::AT_REGISTERS;
    return group ? WARPGROUP : fibers.size();
}

// Reports one of the fibers with the fewest companions, because the others may wait for these.
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
    report(stuck->thread, text);
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
    if (launch.checked) {
        if (static_shared) memset(static_shared, 0xFF, static_shared_end - static_shared);
        if (launch.dynamic_shared) memset(emulator_dynamic_shared, 0xFF, launch.dynamic_shared);
        checker_begin_block();
    }
    for (Fiber& fiber : fibers) prepare(fiber, fiber_main);
    warps_begin_block();
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

}  // namespace emulator

using namespace emulator;
#define CALLER __builtin_return_address(0)

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
    forget_failure();
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
    if (launch.checked) checker_end_launch();
    free(dynamic);
    return failed();
}
