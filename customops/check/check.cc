#include "check/check.h"

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace halo::check {

namespace {

struct Entry {
  const char* name;
  void (*run)();
};

std::vector<Entry>& entries() {
  static std::vector<Entry> list;
  return list;
}

int failures = 0, printed = 0;

/// Messages of one check that are worth reading.
constexpr int kPrinted = 20;

}  // namespace

Registration::Registration(const char* name, void (*run)()) { entries().push_back({name, run}); }

void expect(bool holds, const std::string& what) {
  if (holds) return;
  ++failures;
  if (++printed <= kPrinted) std::printf("  %s\n", what.c_str());
}

void expect_near(double found, double expected, double tolerance, const std::string& what) {
  const bool same = (std::isnan(found) && std::isnan(expected)) || found == expected || std::fabs(found - expected) <= tolerance;
  if (!same) {
    expect(false, what + ": expected " + std::to_string(expected) + " within " + std::to_string(tolerance) + ", found " + std::to_string(found));
  }
}

void ThreadedExecutor::run(int64_t count, void (*task)(void*, int64_t), void* context) const {
  constexpr int kThreads = 3;
  std::atomic<int64_t> next = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int64_t task_index = next++; task_index < count; task_index = next++) task(context, task_index);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void PlainProducts::multiply(bool trans_a, bool trans_b, float alpha, int64_t batch, int64_t m, int64_t n, int64_t k, const float* a, const float* b,
                             float* y) const {
  for (int64_t p = 0; p < batch; ++p, a += m * k, b += k * n, y += m * n) {
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l) sum += static_cast<double>(trans_a ? a[l * m + i] : a[i * k + l]) * (trans_b ? b[j * k + l] : b[l * n + j]);
        y[i * n + j] = static_cast<float>(alpha * sum);
      }
    }
  }
}

std::vector<float> normal(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = distribution(random);
  return values;
}

int run_checks(const char* part) {
  int passed = 0, failed = 0;
  for (const auto& entry : entries()) {
    if (std::strstr(entry.name, part) == nullptr) continue;
    const int before = failures;
    printed = 0;
    entry.run();
    const bool is_fine = failures == before;
    std::printf("%s %s\n", is_fine ? "ok  " : "FAIL", entry.name);
    std::fflush(stdout);
    ++(is_fine ? passed : failed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed > 0 || passed == 0 ? 1 : 0;
}

}  // namespace halo::check
