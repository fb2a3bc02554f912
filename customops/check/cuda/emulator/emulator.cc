#include "cuda_runtime.h"

// Saves what a call must keep, and goes on where the other stack stopped. [System V ABI, AMD64]
asm(R"(
.text
.globl halo_emulator_switch
halo_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
extern "C" void halo_emulator_switch(void** save, void* resume);

namespace halo::emulator {

namespace {

constexpr size_t kStackBytes = 64 << 10;
thread_local std::vector<unsigned char> shared_memory;  // ranks that share a process run kernels at once

void yield() {
  Block& b = block();
  halo_emulator_switch(&b.current->stack_pointer, b.scheduler);
}

void release_if_full(Group& group) {
  if (group.live == 0 || group.arrived < group.live) return;
  group.arrived = 0;
  ++group.generation;
  ++block().progress;
}

void start() {
  Block& b = block();
  b.body();
  Fiber& fiber = *b.current;
  fiber.done = true;
  for (Group* group : {&b.all, &b.warps[static_cast<size_t>(fiber.warp)]}) {
    --group->live;
    release_if_full(*group);
  }
  ++b.progress;
  yield();
  std::abort();
}

void prepare(Fiber& fiber) {
  if (!fiber.stack) fiber.stack = std::make_unique<char[]>(kStackBytes);
  auto top = (reinterpret_cast<uintptr_t>(fiber.stack.get()) + kStackBytes) & ~uintptr_t{15};
  auto* words = reinterpret_cast<uint64_t*>(top) - 8;  // six registers, the address to return to, and one for alignment
  std::fill(words, words + 8, 0);
  words[6] = reinterpret_cast<uint64_t>(&start);
  fiber.stack_pointer = words;
  fiber.done = false;
}

}  // namespace

Block& block() {
  static thread_local Block instance;
  return instance;
}

bool& reversed() {
  static bool value = false;
  return value;
}

unsigned char* dynamic_shared_memory() { return reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(shared_memory.data()) + 255) & ~uintptr_t{255}); }

void set_dynamic_shared_memory(size_t bytes) { shared_memory.assign(bytes + 256, 0xFF); }

void wait(Group& group) {
  const int64_t generation = group.generation;
  ++group.arrived;
  release_if_full(group);
  while (group.generation == generation) yield();
}

void run_block(dim3 size) {
  Block& b = block();
  const size_t count = static_cast<size_t>(size.x) * size.y * size.z;
  if (b.fibers.size() < count) b.fibers.resize(count);
  b.warps.assign((count + warpSize - 1) / warpSize, Group{});
  b.slots.resize(b.warps.size() * warpSize);
  b.all = Group{.live = static_cast<int>(count)};
  for (size_t i = 0; i < count; ++i) {
    Fiber& fiber = b.fibers[i];
    prepare(fiber);
    fiber.index = dim3(static_cast<uint32_t>(i % size.x), static_cast<uint32_t>(i / size.x % size.y), static_cast<uint32_t>(i / size.x / size.y));
    fiber.warp = static_cast<int>(i) / warpSize;
    fiber.lane = static_cast<int>(i) % warpSize;
    ++b.warps[static_cast<size_t>(fiber.warp)].live;
  }
  for (size_t left = count; left > 0;) {
    const int64_t before = b.progress;
    for (size_t n = 0; n < count; ++n) {
      Fiber& fiber = b.fibers[reversed() ? count - 1 - n : n];
      if (fiber.done) continue;
      b.current = &fiber;
      threadIdx = fiber.index;
      halo_emulator_switch(&b.scheduler, fiber.stack_pointer);
      left -= fiber.done ? 1 : 0;
    }
    if (b.progress == before) {
      std::fprintf(stderr, "emulator: threads of block (%u, %u, %u) wait at barriers that others do not reach\n", blockIdx.x, blockIdx.y, blockIdx.z);
      std::abort();
    }
  }
}

}  // namespace halo::emulator
