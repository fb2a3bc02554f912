// A check is a function that compares a kernel with a plain counterpart. Those of an operator lie in its folder, ops/<op>/<op>_check.cc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/dtype.h"
#include "common/executor.h"
#include "common/products.h"

namespace halo::check {

/// Notes a failure and goes on; `what` says where.
void expect(bool holds, const std::string& what);

/// |found - expected| <= tolerance, or both NaN, or both the same infinity.
void expect_near(double found, double expected, double tolerance, const std::string& what);

/// Whether kernels of a check exchange data through shared memory: what compute-sanitizer's racecheck looks at.
enum class Memory { kOwn, kShared };

struct Registration {
  Registration(const char* name, void (*run)(), Memory memory = Memory::kOwn);
};

/// Which checks run: those whose names contain one of `parts`, all where there is none.
struct Selection {
  std::vector<std::string> parts;
  bool shared_memory_alone = false;
};

/// The names, a line each.
void list_checks(const Selection& selection);

/// Runs checks, `jobs` at a time, and prints what became of each; 1 if one fails or there is none.
int run_checks(const Selection& selection, int jobs);

/// Tasks on several threads, in no particular order.
class ThreadedExecutor final : public Executor {
 public:
  void run(int64_t count, void (*task)(void*, int64_t), void* context) const override;
};

/// Plain loops that sum in float64.
class PlainProducts final : public Products {
 public:
  void multiply(bool trans_a, bool trans_b, float alpha, int64_t batch, int64_t m, int64_t n, int64_t k, const float* a, const float* b,
                float* y) const override;
};

/// `count` numbers from the normal distribution, the same for the same seed.
std::vector<float> normal(int64_t count, uint32_t seed);

/// The same numbers in a type of 16 bits.
template <class T>
std::vector<T> rounded(const std::vector<float>& values) {
  std::vector<T> result;
  for (const float v : values) result.push_back(from_float<T>(v));
  return result;
}

/// How far rounding to T may move a number: half a unit in the last place.
template <class T>
double rounding(double x) {
  const double magnitude = x < 0 ? -x : x;
  switch (dtype_of<T>()) {
    case DType::kBFloat16:
      return magnitude / 256;
    case DType::kFloat16:
      return std::max(magnitude / 2048, 0x1p-25);
    default:
      return 0;
  }
}

/// Equal bits.
template <class T>
bool same(const T* a, const T* b, int64_t count) {
  return count == 0 || __builtin_memcmp(a, b, static_cast<size_t>(count) * sizeof(T)) == 0;
}

/// Elements between sentinels; `intact` says whether they were left alone.
template <class T>
class Guarded {
 public:
  explicit Guarded(int64_t count) : count_(count), elements_(static_cast<size_t>(count + 2 * kMargin)) {
    for (int64_t i = 0; i < kMargin; ++i) edge(i) = edge(i + count + kMargin) = kSentinel;
  }
  T* data() { return elements_.data() + kMargin; }
  T& operator[](int64_t i) { return data()[i]; }
  bool intact() {
    bool same = true;
    for (int64_t i = 0; i < kMargin; ++i) same = same && is_sentinel(edge(i)) && is_sentinel(edge(i + count_ + kMargin));
    return same;
  }

 private:
  static constexpr int64_t kMargin = 64;
  static constexpr T kSentinel{T(77)};
  static bool is_sentinel(const T& x) { return __builtin_memcmp(&x, &kSentinel, sizeof(T)) == 0; }
  T& edge(int64_t i) { return elements_[static_cast<size_t>(i)]; }

  int64_t count_;
  std::vector<T> elements_;
};

}  // namespace halo::check

/// HALO_CHECK(name), or HALO_CHECK(name, Memory::kShared).
#define HALO_CHECK(name, ...)                                                                           \
  static void name();                                                                                   \
  static const ::halo::check::Registration registration_##name(#name, name __VA_OPT__(, ) __VA_ARGS__); \
  static void name()
