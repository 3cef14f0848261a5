// Fibers, the threads of a block: how they wait and are switched, their reports and their names.
#include <dlfcn.h>
#include <sys/mman.h>

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

}  // namespace

void leave() { emulator_switch(&running()->stack_pointer, scheduler_stack); }

void enter(Fiber& fiber) {
    emulator_thread = &fiber.thread;
    emulator_switch(&scheduler_stack, fiber.stack_pointer);
}

void prepare(Fiber& fiber, void (*main)()) {
    void** top = reinterpret_cast<void**>(fiber.stack + STACK_BYTES - 64);
#if defined(__x86_64__)
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(main);
    top -= SAVED;
    memset(top, 0, SAVED * sizeof(void*));
#else
    top -= 20;
    memset(top, 0, 20 * sizeof(void*));
    top[11] = reinterpret_cast<void*>(main);  // x30, the return address
#endif
    fiber.stack_pointer = top;
    fiber.state = State::READY;
    fiber.copies.clear();
}

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
    // One byte back, so that it lies within the call and not after it.
    snprintf(text, sizeof text, "{%tx}", static_cast<const char*>(site) - base - 1);
    return text;
}

bool failed() { return !message.empty(); }

void forget_failure() { message.clear(); }

void report(const EmulatorThread& thread, const std::string& what) {
    if (message.empty()) message = name_of(thread) + ": " + what;
}

void fail(const std::string& what) {
    report(running()->thread, what);
    leave();
    abort();  // a block that failed does not continue
}

}  // namespace emulator

using namespace emulator;

EmulatorIndex emulator_own_index() { return emulator_thread->index; }
EmulatorIndex emulator_own_block() { return emulator_block_index; }
EmulatorIndex emulator_own_block_size() { return emulator_block_size; }
EmulatorIndex emulator_own_grid_size() { return emulator_grid_size; }

int emulator_planted(int bug) { return launch.planted == uint32_t(bug); }

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
