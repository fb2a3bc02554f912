// Runs a kernel's tasks on somebody's threads: ONNX Runtime's pool, or a check program's own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace halo {

class Executor {
 public:
  virtual ~Executor() = default;

  /// Calls task(context, i) for each i in [0, count), in any order, on any number of threads; returns when all are done.
  virtual void run(int64_t count, void (*task)(void*, int64_t), void* context) const = 0;

  /// Calls f(begin, end) over [0, n) in pieces of `grain`, whose borders do not depend on the number of threads.
  template <class F>
  void parallel_for(int64_t n, int64_t grain, F&& f) const {
    struct Context {
      std::remove_reference_t<F>* f;
      int64_t n, grain;
    } context{&f, n, grain};
    const int64_t pieces = (n + grain - 1) / grain;
    if (pieces <= 1) {
      if (n > 0) f(int64_t{0}, n);
      return;
    }
    run(
        pieces,
        [](void* opaque, int64_t piece) {
          const auto* c = static_cast<Context*>(opaque);
          (*c->f)(piece * c->grain, std::min(c->n, (piece + 1) * c->grain));
        },
        &context);
  }
};

class SerialExecutor final : public Executor {
 public:
  void run(int64_t count, void (*task)(void*, int64_t), void* context) const override {
    for (int64_t i = 0; i < count; ++i) task(context, i);
  }
};

/// Elements a task should have, so that handing it to a thread costs little beside it.
inline constexpr int64_t kGrain = 1 << 14;

/// Rows of `width` elements that make up a task.
inline int64_t rows_per_task(int64_t width) { return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, width)); }

}  // namespace halo
