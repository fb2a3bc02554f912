// What the timing cases share: sizes, device arrays, the clock, and a line of JSON a kernel.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "common/codes.h"
#include "common/dtype.h"
#include "common/status.h"
#include "provider/cudnn/cudnn_attention.h"
#include "provider/products/lt_products.h"

namespace halo::cuda::bench {

/// Tensors of a training step with 8192 tokens and C = 4096, larger than any cache. A GPU that is emulated has no times: there they are small, to see all run.
#ifdef HALO_CUDA_EMULATED
inline constexpr int64_t kRows = 64, kColumns = 256, kProduct = 64, kFloatProduct = 32, kCopyBytes = 1 << 16, kRounds = 1, kWarmUps = 0;
#else
inline constexpr int64_t kRows = 8192, kColumns = 4096, kProduct = 8192, kFloatProduct = 4096, kCopyBytes = 1 << 30, kRounds = 20, kWarmUps = 3;
#endif
inline constexpr int64_t kCount = kRows * kColumns;

/// Heads of 128 channels over four rows of tokens.
inline constexpr int64_t kBatch = 4, kTokens = kRows / kBatch, kDim = 128, kHeads = kColumns / kDim, kGroups = kHeads >= 4 ? kHeads / 4 : 1;

inline std::string shape_of(std::initializer_list<int64_t> sizes) {
  std::string text;
  for (const int64_t size : sizes) text += (text.empty() ? "" : " x ") + std::to_string(size);
  return text;
}

/// Elements of device memory; null where there was not enough, which the next kernel reports.
template <class T>
class Array {
 public:
  explicit Array(int64_t count) : count_(count) {
    void* memory = nullptr;
    if (cudaMalloc(&memory, static_cast<size_t>(count) * sizeof(T)) == cudaSuccess) data_ = static_cast<T*>(memory);
  }
  explicit Array(const std::vector<T>& values) : Array(static_cast<int64_t>(values.size())) { fill(values); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { cudaFree(data_); }

  T* data() const { return data_; }
  int64_t size() const { return count_; }

  /// The values over and over, by copies of a million bytes or so.
  void fill(const std::vector<T>& given) {
    std::vector<T> values;
    while (values.size() < (size_t{1} << 18) && static_cast<int64_t>(values.size()) < count_) values.insert(values.end(), given.begin(), given.end());
    const auto length = static_cast<int64_t>(values.size());
    for (int64_t at = 0; data_ != nullptr && at < count_; at += length) {
      cudaMemcpy(data_ + at, values.data(), sizeof(T) * static_cast<size_t>(std::min(length, count_ - at)), cudaMemcpyHostToDevice);
    }
  }

 private:
  T* data_ = nullptr;
  int64_t count_;
};

/// 2^18 numbers from the normal distribution: enough that nothing compresses or cancels.
inline std::vector<float> normal_numbers() {
  std::mt19937 random(5);
  std::normal_distribution<float> distribution;
  std::vector<float> values(size_t{1} << 18);
  for (float& value : values) value = distribution(random);
  return values;
}

template <class T>
void fill_normal(Array<T>& array) {
  static const std::vector<T> values = [] {
    std::vector<T> made;
    for (const float v : normal_numbers()) made.push_back(from_float<T>(v));
    return made;
  }();
  array.fill(values);
}

template <class Format>
void fill_codes(Array<uint8_t>& array) {
  static const std::vector<uint8_t> values = [] {
    std::vector<uint8_t> made;
    for (const float v : normal_numbers()) made.push_back(Format::encode(v * 20.0f));
    return made;
  }();
  array.fill(values);
}

/// What a kernel must do: bytes read and written once each, or operations of a product and the rate to compare with, 0 for none.
struct Work {
  double bytes = 0, operations = 0, ceiling = 0;
};

/// Bytes a second of a copy, read and written; operations a second of bare products, by the type of their operands.
struct Ceilings {
  double copy = 0, single = 0, bfloat16 = 0, float8 = 0, int8 = 0;
};

class Bench {
 public:
  Bench(std::string part, const std::function<bool(const std::string&)>& line);
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  ~Bench();

  /// Opens cuBLASLt, and cuDNN where it is there, and writes the line of versions.
  Status open();

  /// Times a kernel and writes its line, unless its name does not have the part asked for (ceilings are wanted with any) or something failed before. Each run
  /// begins with its inputs out of the cache. Returns the median in seconds, 0 where there is none.
  double time(const std::string& kernel, const std::string& type, const std::string& shape, const Work& work, const std::function<Status()>& run);

  /// Notes what went wrong in preparing a kernel; nothing is timed after that.
  void note(const Status& status) {
    if (status_.ok()) status_ = status;
  }

  LtProducts& products() { return products_; }
  CudnnAttention& attention() { return attention_; }
  const Status& status() const { return status_; }
  Ceilings ceilings;

 private:
  Status time_once(const std::function<Status()>& run, float* milliseconds);
  /// Hands a line over; nothing is timed after one that the reader does not take.
  void write(const std::string& text);
  double median_of(const std::function<Status()>& run);

  std::string part_;
  const std::function<bool(const std::string&)>& line_;
  LtProducts products_;
  CudnnAttention attention_;
  Array<float> other_;  // what is read between runs, so that nothing of a kernel's is left in the cache
  Array<uint8_t> workspace_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  Status status_;
};

/// Registers what times the kernels of an operator; they run in the order of their names, behind the ceilings and ONNX's own operators.
struct Registration {
  Registration(const char* name, void (*run)(Bench&));
};

/// Calls f.operator()<T>() with the types that training computes in.
template <class F>
void for_types(F&& f) {
  f.template operator()<BFloat16>();
  f.template operator()<float>();
}

/// Bytes of a tensor of kRows x kColumns.
template <class T>
inline constexpr double kTensorBytes = static_cast<double>(kCount) * sizeof(T);

/// kRows ids of labels or tokens in [0, bound), neighbours far apart.
inline std::vector<int64_t> ids_below(int64_t bound) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < kRows; ++i) ids.push_back(i * 37 % bound);
  return ids;
}

void measure_ceilings(Bench& bench);

template <class T>
void time_standard_operators(Bench& bench);

}  // namespace halo::cuda::bench

/// HALO_BENCH(rms_norm) { bench.time(...); } in ops/rms_norm/rms_norm_bench.cc.
#define HALO_BENCH(name)                                                                        \
  static void time_##name(::halo::cuda::bench::Bench& bench);                                   \
  static const ::halo::cuda::bench::Registration bench_registration_##name(#name, time_##name); \
  static void time_##name([[maybe_unused]] ::halo::cuda::bench::Bench& bench)
