#include "check/check.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <mutex>

namespace halo::check {

namespace {

struct Entry {
  const char* name;
  void (*run)();
  Memory memory;
};

std::vector<Entry>& entries() {
  static std::vector<Entry> list;
  return list;
}

/// Messages of one check that are worth reading.
constexpr int kPrinted = 20;

/// Of the check that runs on this thread.
thread_local int failures = 0;
thread_local std::string messages;

std::vector<Entry> selected(const Selection& selection) {
  std::vector<Entry> chosen;
  for (const Entry& entry : entries()) {
    bool is_wanted = selection.parts.empty();
    for (const std::string& part : selection.parts) is_wanted = is_wanted || std::strstr(entry.name, part.c_str()) != nullptr;
    if (is_wanted && (!selection.shared_memory_alone || entry.memory == Memory::kShared)) chosen.push_back(entry);
  }
  return chosen;
}

}  // namespace

Registration::Registration(const char* name, void (*run)(), Memory memory) { entries().push_back({name, run, memory}); }

void expect(bool holds, const std::string& what) {
  if (!holds && ++failures <= kPrinted) messages += "  " + what + "\n";
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

void list_checks(const Selection& selection) {
  for (const Entry& entry : selected(selection)) std::puts(entry.name);
}

int run_checks(const Selection& selection, int jobs) {
  const std::vector<Entry> chosen = selected(selection);
  std::atomic<size_t> next = 0;
  std::mutex printing;
  int passed = 0, failed = 0;
  const auto work = [&] {
    for (size_t i = next++; i < chosen.size(); i = next++) {
      failures = 0;
      messages.clear();
      const auto start = std::chrono::steady_clock::now();
      chosen[i].run();
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      const std::lock_guard lock(printing);
      std::printf("%s%s %s %.1f s\n", messages.c_str(), failures == 0 ? "ok  " : "FAIL", chosen[i].name, seconds.count());
      std::fflush(stdout);
      ++(failures == 0 ? passed : failed);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < jobs; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed > 0 || passed == 0 ? 1 : 0;
}

}  // namespace halo::check
