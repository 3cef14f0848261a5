// setmaxnreg: how many of the block's registers the threads of each warpgroup may hold.
//
// The number that a block holds in all never grows. At first each thread has an equal share of the
// 65,536 registers of a multiprocessor that runs no other block: a multiple of 8, and at most 256.
// A warpgroup that decreases its count leaves the rest to the others; one that increases it waits
// until there are enough. A GPU starts from the count that the kernel was compiled to, which may be
// less.
#include <algorithm>

#include "runtime.hpp"

namespace emulator {
namespace {

constexpr uint32_t REGISTERS = 65536, UNIT = 8, MOST = 256;

struct Holder {
    uint32_t held;  // registers of each thread of the warpgroup
    uint32_t asked;
    bool increases;
    uint32_t threads;  // that have come to the change
};

std::vector<Holder> holders;  // by warpgroup
uint32_t left_over;           // registers for each thread of a warpgroup that no warpgroup holds

Holder& holder_of(const EmulatorThread& thread) { return holders[thread.number / WARPGROUP]; }

}  // namespace

void registers_begin_block() {
    const uint32_t share = uint32_t(REGISTERS / fibers.size()) / UNIT * UNIT;
    left_over = 0;
    holders.assign((fibers.size() + WARPGROUP - 1) / WARPGROUP,
                   Holder{std::min(share, MOST), 0, false, 0});
}

std::string registers_text(const EmulatorThread& thread) {
    const Holder& holder = holder_of(thread);
    if (holder.threads < WARPGROUP)
        return " (setmaxnreg of the whole warpgroup, to which some threads never come)";
    return " (setmaxnreg asks for " + std::to_string(holder.asked) + " registers a thread, which has " +
           std::to_string(holder.held) + ", and the other warpgroups have left " +
           std::to_string(left_over) + ")";
}

}  // namespace emulator

using namespace emulator;
#define CALLER __builtin_return_address(0)

// All threads of the warpgroup meet here; the last one changes what they hold.
void emulator_set_registers(uint32_t count, bool increases) {
    Holder& holder = holder_of(running()->thread);
    if (holder.threads++ == 0) {
        holder.asked = count;
        holder.increases = increases;
    }
    if (holder.asked != count || holder.increases != increases)
        fail("setmaxnreg at " + site_text(CALLER) + ": its warpgroup is at another one, of " +
             std::to_string(holder.asked) + " registers");
    running()->waits_at = &holder;
    if (holder.threads < WARPGROUP) {
        wait(State::AT_REGISTERS, CALLER);
        return;
    }
    if (increases ? count < holder.held : count > holder.held)
        fail("setmaxnreg at " + site_text(CALLER) + (increases ? ": an increase" : ": a decrease") +
             " from " + std::to_string(holder.held) + " to " + std::to_string(count) + " registers");
    while (holder.held + left_over < count) {
        running()->waits_at = &left_over;
        wait(State::AT_REGISTERS, CALLER);
    }
    left_over = holder.held + left_over - count;
    holder.held = count;
    holder.threads = 0;
    make_ready(State::AT_REGISTERS, &holder);
    make_ready(State::AT_REGISTERS, &left_over);
    yield_to_waiters();
}
