// Arrays on the device, between sentinels, and what the checks of CUDA kernels share.
#pragma once

#include <cuda_runtime_api.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "check/check.h"
#include "common/dtype.h"
#include "common/status.h"
#include "provider/kernels/tensor.h"

namespace halo::check {

/// Small shapes only: for compute-sanitizer and for the emulator.
bool is_reduced();

/// In the emulator, whether the threads of the next kernels run in reverse. A GPU has no order to change.
void change_order(bool reversed);

/// Checks that may run at a time: one a core; the emulator has one block, and so one.
int most_jobs();

/// Notes an error of CUDA, or what a launcher refused.
inline void expect_success(cudaError_t error, const std::string& what) { expect(error == cudaSuccess, what + ": " + cudaGetErrorString(error)); }
inline void expect_success(const Status& status, const std::string& what) { expect(status.ok(), what + ": " + status.message()); }

template <class T>
constexpr DType type_of() {
  if constexpr (std::is_same_v<T, double>) return DType::kDouble;
  if constexpr (std::is_same_v<T, float>) return DType::kFloat;
  if constexpr (std::is_same_v<T, BFloat16>) return DType::kBFloat16;
  if constexpr (std::is_same_v<T, Float16>) return DType::kFloat16;
  if constexpr (std::is_same_v<T, int64_t>) return DType::kInt64;
  if constexpr (std::is_same_v<T, int32_t>) return DType::kInt32;
  if constexpr (std::is_same_v<T, int8_t>) return DType::kInt8;
  if constexpr (std::is_same_v<T, uint8_t>) return DType::kUInt8;
  return DType::kBool;
}

/// Calls f.operator()<T>() with each float type of up to 32 bits.
template <class F>
void for_floats(F&& f) {
  f.template operator()<float>();
  f.template operator()<BFloat16>();
  f.template operator()<Float16>();
}

/// Normal numbers.
template <class T>
std::vector<T> rounded_to(int64_t count, uint32_t seed) {
  return rounded<T>(normal(count, seed));
}

/// A number of any type as float64.
template <class T>
double real(T x) {
  if constexpr (std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>) {
    return static_cast<double>(to_float(x));
  } else {
    return static_cast<double>(x);
  }
}

template <class T>
T typed(double x) {
  if constexpr (std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>) {
    return from_float<T>(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}

/// `count` elements on the device. Outputs start with bytes that no kernel writes, 0xA5, and have them on both sides.
template <class T>
class OnDevice {
 public:
  explicit OnDevice(int64_t count) : count_(count), bytes_(static_cast<size_t>(count) * sizeof(T)) {
    void* memory = nullptr;
    expect_success(cudaMalloc(&memory, bytes_ + 2 * kMargin), "memory for " + std::to_string(bytes_) + " bytes");
    memory_ = static_cast<unsigned char*>(memory);
    cudaMemset(memory_, kSentinel, bytes_ + 2 * kMargin);
  }
  explicit OnDevice(const std::vector<T>& values) : OnDevice(static_cast<int64_t>(values.size())) { upload(values); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  ~OnDevice() { cudaFree(memory_); }

  T* data() const { return reinterpret_cast<T*>(memory_ + kMargin); }
  int64_t size() const { return count_; }

  void upload(const std::vector<T>& values) {
    if constexpr (std::is_same_v<T, bool>) {
      const std::vector<uint8_t> bytes(values.begin(), values.end());
      cudaMemcpy(data(), bytes.data(), bytes_, cudaMemcpyHostToDevice);
    } else {
      cudaMemcpy(data(), values.data(), bytes_, cudaMemcpyHostToDevice);
    }
  }

  /// Waits, copies, and notes errors and what was written outside.
  std::vector<T> download(const std::string& what) const {
    expect_success(cudaDeviceSynchronize(), what);
    std::vector<unsigned char> all(bytes_ + 2 * kMargin);
    expect_success(cudaMemcpy(all.data(), memory_, all.size(), cudaMemcpyDeviceToHost), what);
    bool intact = true;
    for (size_t i = 0; i < kMargin; ++i) intact = intact && all[i] == kSentinel && all[all.size() - 1 - i] == kSentinel;
    expect(intact, what + ": wrote outside");
    std::vector<T> values(static_cast<size_t>(count_));
    for (size_t i = 0; i < values.size(); ++i) {
      T value;
      __builtin_memcpy(&value, all.data() + kMargin + i * sizeof(T), sizeof(T));
      values[i] = value;
    }
    return values;
  }

 private:
  static constexpr size_t kMargin = 256;
  static constexpr unsigned char kSentinel = 0xA5;
  unsigned char* memory_ = nullptr;
  int64_t count_;
  size_t bytes_;
};

/// Runs `kernel` twice, each time into outputs as they were, and notes bits that differ. Returns the output.
template <class T>
std::vector<T> run_twice(const std::string& what, int64_t count, const std::function<Status(T*)>& kernel) {
  const OnDevice<T> first(count), second(count);
  expect_success(kernel(first.data()), what);
  const std::vector<T> values = first.download(what);
  change_order(true);
  expect_success(kernel(second.data()), what);
  change_order(false);
  const std::vector<T> again = second.download(what);
  bool same = true;
  for (size_t i = 0; i < values.size(); ++i) {
    const T a = values[i], b = again[i];
    same = same && __builtin_memcmp(&a, &b, sizeof(T)) == 0;
  }
  expect(same, what + ": a second run gave other bits");
  return values;
}

/// Notes the first elements that are further from `expected` than tolerance(expected); NaN equals NaN.
template <class T>
void expect_all_near(const std::vector<T>& found, const std::vector<double>& expected, const std::function<double(double)>& tolerance,
                     const std::string& what) {
  expect(found.size() == expected.size(), what + ": sizes");
  int reported = 0;
  for (size_t i = 0; i < found.size() && reported < 3; ++i) {
    const double f = real(static_cast<T>(found[i])), e = expected[i];
    if ((std::isnan(f) && std::isnan(e)) || f == e || std::fabs(f - e) <= tolerance(e)) continue;
    ++reported;
    expect(false, what + " element " + std::to_string(i) + ": expected " + std::to_string(e) + ", found " + std::to_string(f));
  }
}

inline cuda::Dims dims_of(const std::vector<int64_t>& sizes) {
  cuda::Dims dims;
  for (const int64_t size : sizes) dims.sizes[dims.rank++] = size;
  return dims;
}

inline cuda::PerAxis per_axis(const std::vector<int64_t>& values) {
  cuda::PerAxis result;
  for (size_t i = 0; i < values.size(); ++i) result.values[i] = values[i];
  return result;
}

/// Index of `at`, a position in y's order, in an operand that is broadcast to y.
inline int64_t broadcast_index(int64_t at, const cuda::Dims& operand, const cuda::Dims& y) {
  int64_t index = 0, stride = 1;
  for (int axis = 0; axis < y.rank; ++axis) {
    const int64_t i = at % y.sizes[y.rank - 1 - axis];
    at /= y.sizes[y.rank - 1 - axis];
    if (axis >= operand.rank) continue;
    const int64_t size = operand.sizes[operand.rank - 1 - axis];
    index += (size == 1 ? 0 : i) * stride;
    stride *= size;
  }
  return index;
}

/// Numbers of a type: normal ones, zeros and an outlier, and with `special` infinities and NaN.
template <class T>
std::vector<T> numbers(int64_t count, uint32_t seed, bool special = false) {
  const auto values = normal(count, seed);
  std::vector<T> result;
  for (size_t i = 0; i < values.size(); ++i) {
    double v = static_cast<double>(values[i]);
    if constexpr (std::is_integral_v<T>) v = std::is_same_v<T, bool> ? static_cast<double>(v > 0) : std::round(v * 3);
    if (i % 17 == 5) v = 0;
    if constexpr (!std::is_integral_v<T>) {
      if (i % 101 == 7) v *= 300;
      if (special && i % 31 == 3) v = i % 2 == 0 ? INFINITY : -INFINITY;
      if (special && i % 37 == 4) v = NAN;
    }
    result.push_back(typed<T>(v));
  }
  return result;
}

template <class T>
std::vector<double> reals(const std::vector<T>& values) {
  std::vector<double> result;
  for (size_t i = 0; i < values.size(); ++i) result.push_back(real(static_cast<T>(values[i])));
  return result;
}

/// Half a unit in the last place of T, and what float32 arithmetic in front of it may lose.
template <class T>
std::function<double(double)> within(double units) {
  return [units](double x) {
    const double magnitude = std::fabs(x);
    if constexpr (std::is_same_v<T, double>) return units * magnitude * 0x1p-52 + 1e-300;
    if constexpr (std::is_integral_v<T>) return 0.0;
    if constexpr (std::is_same_v<T, float>) return units * magnitude * 0x1p-24 + 1e-38;
    if constexpr (std::is_same_v<T, BFloat16>) return magnitude * (0x1p-8 + units * 0x1p-24) + 1e-38;
    return magnitude * (0x1p-11 + units * 0x1p-24) + 0x1p-25;
  };
}

/// Near what the CPU has, which is rounded itself: a unit of T, and `units` of float32 of a number as large as `size`.
template <class T>
std::function<double(double)> beside(double units, double size = 0) {
  return [units, size](double v) { return 2 * within<T>(units)(v) + units * 0x1p-24 * size; };
}

template <class T>
std::string name_of_type() {
  return name_of(type_of<T>());
}

}  // namespace halo::check
