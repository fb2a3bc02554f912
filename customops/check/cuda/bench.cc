#include "check/cuda/bench.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "check/cuda/device.h"
#include "common/codes.h"
#include "ops/attention/attention.h"
#include "ops/attention_grad/attention_grad.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/cross_entropy_grad/cross_entropy_grad.h"
#include "ops/hadamard_transform/hadamard_transform.h"
#include "ops/quantize/quantize.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rms_norm_grad/rms_norm_grad.h"
#include "ops/rotary_embedding/rotary_embedding.h"
#include "ops/scaled_mat_mul/scaled_mat_mul.h"
#include "ops/swi_glu/swi_glu.h"
#include "ops/swi_glu_grad/swi_glu_grad.h"
#include "provider/kernels/elementwise.h"
#include "provider/kernels/gather.h"
#include "provider/kernels/movement.h"
#include "provider/kernels/reduce.h"
#include "provider/kernels/scatter.h"
#include "provider/products/lt_products.h"

namespace halo::check {

namespace {

const char* wanted_part = "";
int failures = 0;

/// Bytes a second of a copy, counting what is read and what is written; operations a second of products, by the type of their operands.
struct Ceilings {
  double copy = 0, bfloat16 = 0, float8 = 0, int8 = 0, single = 0;
};
Ceilings ceilings;

/// The median of single runs between two events, after some that warm up, in seconds.
double time_of(const std::function<bool()>& run) {
  cudaEvent_t begin, end;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  std::vector<float> times;
  for (int i = 0; i < 23; ++i) {
    cudaEventRecord(begin, nullptr);
    if (!run()) return 0;
    cudaEventRecord(end, nullptr);
    if (cudaEventSynchronize(end) != cudaSuccess) return 0;
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, begin, end);
    if (i >= 3) times.push_back(milliseconds);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return static_cast<double>(times[times.size() / 2]) * 1e-3;
}

struct Work {
  double bytes = 0, operations = 0, ceiling = 0;
};

double report(const std::string& name, const std::string& shape, const Work& work, const std::function<bool()>& run) {
  if (std::strstr(name.c_str(), wanted_part) == nullptr) return 0;
  const double seconds = time_of(run);
  if (seconds <= 0) {
    ++failures;
    std::printf("{\"kernel\": \"%s\", \"shape\": \"%s\", \"error\": \"%s\"}\n", name.c_str(), shape.c_str(), cudaGetErrorString(cudaGetLastError()));
    return 0;
  }
  std::printf("{\"kernel\": \"%s\", \"shape\": \"%s\", \"ms\": %.4f", name.c_str(), shape.c_str(), seconds * 1e3);
  if (work.bytes > 0) {
    std::printf(", \"gb_per_s\": %.0f", work.bytes / seconds * 1e-9);
    if (ceilings.copy > 0) std::printf(", \"of_copy\": %.3f", work.bytes / seconds / ceilings.copy);
  }
  if (work.operations > 0) {
    std::printf(", \"tflop_per_s\": %.1f", work.operations / seconds * 1e-12);
    if (work.ceiling > 0) std::printf(", \"of_products\": %.3f", work.operations / seconds / work.ceiling);
  }
  std::printf("}\n");
  std::fflush(stdout);
  return seconds;
}

bool ok(cudaError_t error) { return error == cudaSuccess; }

bool ok(const Status& status) {
  if (!status.ok()) std::printf("%s\n", status.message().c_str());
  return status.ok();
}

/// Normal numbers, the same ones over and over: enough that nothing compresses or cancels.
template <class T>
void fill_normal(const OnDevice<T>& array) {
  std::vector<T> values;
  for (const float v : normal(1 << 16, 5)) values.push_back(typed<T>(static_cast<double>(v)));
  for (int64_t at = 0; at < array.size(); at += 1 << 16) {
    cudaMemcpy(array.data() + at, values.data(), sizeof(T) * static_cast<size_t>(std::min<int64_t>(1 << 16, array.size() - at)), cudaMemcpyHostToDevice);
  }
}

void fill_codes(const OnDevice<uint8_t>& array, uint8_t (*encode)(float), float factor) {
  std::vector<uint8_t> values;
  for (const float v : normal(1 << 16, 6)) values.push_back(encode(v * factor));
  for (int64_t at = 0; at < array.size(); at += 1 << 16) {
    cudaMemcpy(array.data() + at, values.data(), static_cast<size_t>(std::min<int64_t>(1 << 16, array.size() - at)), cudaMemcpyHostToDevice);
  }
}

void measure_ceilings(cuda::LtProducts& products) {
  const int64_t n = 8192, bytes = int64_t{1} << 30;
  const OnDevice<uint8_t> workspace(cuda::LtProducts::kWorkspaceBytes);
  const auto rate = [&](const char* name, const cuda::Product& p, const void* a, const void* b, void* y, const float* scale) {
    const double operations = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
    const double seconds = report(name, std::to_string(p.m) + " x " + std::to_string(p.n) + " x " + std::to_string(p.k), {.operations = operations},
                                  [&] { return ok(products.multiply(p, a, b, y, scale, scale, workspace.data(), workspace.size(), nullptr)); });
    return seconds > 0 ? operations / seconds : 0;
  };
  const char* part = wanted_part;
  wanted_part = "";
  {
    const OnDevice<uint8_t> from(bytes), to(bytes);
    const double seconds = report("ceiling: copy", "1 GiB", {.bytes = 2.0 * static_cast<double>(bytes)},
                                  [&] { return ok(cudaMemcpyAsync(to.data(), from.data(), static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, nullptr)); });
    ceilings.copy = 2.0 * static_cast<double>(bytes) / seconds;
  }
  const OnDevice<float> y(n * n), scale(std::vector<float>{1.0f});
  {
    const OnDevice<BFloat16> a(n * n), b(n * n);
    fill_normal(a);
    fill_normal(b);
    ceilings.bfloat16 = rate("ceiling: bfloat16 product",
                             {.type_a = DType::kBFloat16, .type_b = DType::kBFloat16, .type_y = DType::kBFloat16, .trans_b = true, .m = n, .n = n, .k = n},
                             a.data(), b.data(), y.data(), nullptr);
    rate("bfloat16 product to float", {.type_a = DType::kBFloat16, .type_b = DType::kBFloat16, .trans_b = true, .m = n, .n = n, .k = n}, a.data(), b.data(),
         y.data(), nullptr);
  }
  {
    const OnDevice<float> a(4096 * 4096), b(4096 * 4096);
    fill_normal(a);
    fill_normal(b);
    ceilings.single = rate("ceiling: float product", {.m = 4096, .n = 4096, .k = 4096}, a.data(), b.data(), y.data(), nullptr);
  }
  const OnDevice<uint8_t> a(n * n), b(n * n);
  fill_codes(a, E4M3::encode, 40.0f);
  fill_codes(b, E4M3::encode, 40.0f);
  ceilings.float8 =
      rate("ceiling: e4m3 product to float", {.type_a = DType::kFloat8E4M3, .type_b = DType::kFloat8E4M3, .trans_b = true, .m = n, .n = n, .k = n}, a.data(),
           b.data(), y.data(), scale.data());
  rate("e5m2 x e4m3 product to float", {.type_a = DType::kFloat8E5M2, .type_b = DType::kFloat8E4M3, .trans_b = true, .m = n, .n = n, .k = n}, a.data(),
       b.data(), y.data(), scale.data());
  fill_codes(a, Int8::encode, 20.0f);
  fill_codes(b, Int8::encode, 20.0f);
  ceilings.int8 =
      rate("ceiling: int8 product to int32", {.type_a = DType::kInt8, .type_b = DType::kInt8, .type_y = DType::kInt32, .trans_b = true, .m = n, .n = n, .k = n},
           a.data(), b.data(), y.data(), nullptr);
  wanted_part = part;
}

/// Tensors of one training step of a model with C 4096 and 8192 tokens, in T.
template <class T>
void bench_type() {
  const std::string type = " " + name_of_type<T>();
  const int64_t rows = 8192, columns = 4096, count = rows * columns;
  const double tensor = static_cast<double>(count) * sizeof(T);
  const std::string shape = "8192 x 4096";
  const OnDevice<T> a(count), b(count), c(count), y(count), z(count), vector(columns);
  fill_normal(a);
  fill_normal(b);
  fill_normal(c);
  fill_normal(vector);
  const OnDevice<float> small(count / 64), scalar(1);
  fill_normal(small);
  const OnDevice<uint8_t> workspace(int64_t{64} << 20), codes(count);
  const cuda::Dims matrix = dims_of({rows, columns}), row = dims_of({columns}), column = dims_of({rows, 1});
  const auto type_number = type_of<T>();
  report("add" + type, shape, {.bytes = 3 * tensor},
         [&] { return ok(cuda::binary(cuda::BinaryOp::kAdd, type_number, a.data(), matrix, b.data(), matrix, y.data(), matrix, nullptr)); });
  report("mul by row" + type, shape, {.bytes = 2 * tensor},
         [&] { return ok(cuda::binary(cuda::BinaryOp::kMul, type_number, a.data(), matrix, vector.data(), row, y.data(), matrix, nullptr)); });
  report("mul by column" + type, shape, {.bytes = 2 * tensor},
         [&] { return ok(cuda::binary(cuda::BinaryOp::kMul, type_number, a.data(), matrix, b.data(), column, y.data(), matrix, nullptr)); });
  report("sigmoid" + type, shape, {.bytes = 2 * tensor},
         [&] { return ok(cuda::unary(cuda::UnaryOp::kSigmoid, type_number, a.data(), y.data(), count, nullptr)); });
  report("transpose" + type, shape, {.bytes = 2 * tensor}, [&] {
    return ok(cuda::transpose(sizeof(T), a.data(), matrix, per_axis({1, 0}), y.data(), nullptr));
  });
  report("transpose heads" + type, "4 x 2048 x 32 x 128", {.bytes = 2 * tensor}, [&] {
    return ok(cuda::transpose(sizeof(T), a.data(), dims_of({4, 2048, 32, 128}), per_axis({0, 2, 1, 3}), y.data(), nullptr));
  });
  for (const int axis : {0, 1}) {
    const bool reduced[] = {axis == 0, axis == 1};
    report("reduce sum axis " + std::to_string(axis) + type, shape, {.bytes = tensor}, [&] {
      return ok(cuda::reduce(cuda::ReduceOp::kSum, type_number, a.data(), matrix, reduced, y.data(), workspace.data(), workspace.size(), nullptr));
    });
  }
  report("softmax" + type, shape, {.bytes = 2 * tensor}, [&] { return ok(cuda::softmax(false, type_number, a.data(), y.data(), rows, columns, 1, nullptr)); });
  report("rms_norm" + type, shape, {.bytes = 2 * tensor},
         [&] { return ok(rms_norm_cuda(type_number, a.data(), vector.data(), y.data(), small.data(), rows, columns, 1e-5f, nullptr)); });
  report("rms_norm_grad" + type, shape, {.bytes = 3 * tensor}, [&] {
    return ok(rms_norm_grad_cuda(type_number, a.data(), b.data(), vector.data(), small.data(), y.data(), z.data(), rows, columns, workspace.data(), nullptr));
  });
  report("swi_glu" + type, shape, {.bytes = 3 * tensor}, [&] { return ok(swi_glu_cuda(type_number, a.data(), b.data(), y.data(), count, nullptr)); });
  report("swi_glu_grad" + type, shape, {.bytes = 5 * tensor},
         [&] { return ok(swi_glu_grad_cuda(type_number, a.data(), b.data(), c.data(), y.data(), z.data(), count, nullptr)); });
  const RotarySizes rotary{.batch = 4, .heads = 32, .tokens = 2048, .dim = 128, .positions = 2048};
  report("rotary_embedding" + type, "4 x 32 x 2048 x 128", {.bytes = 2 * tensor},
         [&] { return ok(rotary_embedding_cuda(type_number, a.data(), small.data(), small.data(), nullptr, y.data(), rotary, false, nullptr)); });
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < rows; ++i) labels.push_back(i * 37 % columns);
  const OnDevice<int64_t> labels_device(labels);
  report("cross_entropy" + type, shape, {.bytes = tensor}, [&] {
    return ok(cross_entropy_cuda(type_number, a.data(), labels_device.data(), scalar.data(), small.data(), rows, columns, -100, workspace.data(), nullptr));
  });
  report("cross_entropy_grad" + type, shape, {.bytes = 2 * tensor}, [&] {
    return ok(cross_entropy_grad_cuda(type_number, scalar.data(), a.data(), labels_device.data(), small.data(), y.data(), rows, columns, -100, workspace.data(),
                                      nullptr));
  });
  for (const char* format : {"e4m3", "e5m2", "e3m2", "int8"}) {
    report(std::string("quantize ") + format + type, shape, {.bytes = 2 * tensor + static_cast<double>(count)},
           [&] { return ok(quantize_cuda(format, type_number, a.data(), codes.data(), scalar.data(), count, workspace.data(), nullptr)); });
  }
  for (const int64_t size : {256, 704, 1024, 4096, 11008, 14336}) {
    for (const int axis : {1, 0}) {
      const int64_t others = count / size, r = axis == 1 ? others : size, k = axis == 1 ? size : others;
      report("hadamard_transform " + std::to_string(size) + " axis " + std::to_string(axis) + type, std::to_string(r) + " x " + std::to_string(k),
             {.bytes = 2.0 * static_cast<double>(r * k) * sizeof(T)},
             [&] { return ok(hadamard_transform_cuda(type_number, a.data(), y.data(), r, k, axis, &size, 1, false, nullptr)); });
    }
  }
  report("gather" + type, "32000 x 1024, 8192", {.bytes = 2.0 * 8192 * 1024 * sizeof(T)}, [&] {
    return ok(cuda::gather(sizeof(T), a.data(), {labels_device.data(), DType::kInt64}, 8192, y.data(), 1, 32000, 1024, nullptr));
  });
  report("scatter_nd add" + type, "32000 x 1024, 8192", {.bytes = 3.0 * 32000 * 1024 * sizeof(T)}, [&] {
    return ok(cuda::scatter_nd(cuda::ScatterReduction::kAdd, type_number, a.data(), dims_of({32000, 1024}), {labels_device.data(), DType::kInt64},
                               dims_of({8192, 1}), b.data(), y.data(), workspace.data(), workspace.size(), nullptr));
  });
  // Half of the products of a full square of scores are needed where the attention is causal.
  const AttentionSizes sizes{4, 32, 8, 2048, 2048, 128};
  const double square = 2.0 * 4 * 32 * 2048.0 * 2048.0 * 128 / 2;
  const OnDevice<float> sums(4 * 32 * 2048);
  const double ceiling = std::is_same_v<T, float> ? ceilings.single : ceilings.bfloat16;
  report("attention causal" + type, "4 x 32 (8) x 2048 x 128", {.operations = 2 * square, .ceiling = ceiling},
         [&] { return ok(attention_cuda(type_number, a.data(), b.data(), c.data(), {}, y.data(), sums.data(), sizes, 0.088f, nullptr)); });
  report("attention_grad causal" + type, "4 x 32 (8) x 2048 x 128", {.operations = 5 * square, .ceiling = ceiling}, [&] {
    const AttentionGradBuffers buffers{a.data(), a.data(), b.data(), c.data(), y.data(), sums.data(), z.data(), c.data() + count / 2, c.data() + count / 4};
    return ok(attention_grad_cuda(type_number, buffers, {}, sizes, 0.088f, workspace.data(), nullptr));
  });
}

/// The three products of a linear layer at each size: F = X W^T, E = dY W, G = dY^T X.
void bench_scaled(cuda::LtProducts& products) {
  struct Size {
    int64_t m, n, k;
  };
  for (const Size& s : {Size{8192, 4096, 4096}, Size{8192, 14336, 4096}, Size{8192, 4096, 14336}, Size{2048, 704, 256}}) {
    const OnDevice<uint8_t> a(s.m * s.k), b(s.k * s.n);
    const OnDevice<float> y(s.m * s.n), scale(std::vector<float>{1.0f});
    const double operations = 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
    const std::string shape = std::to_string(s.m) + " x " + std::to_string(s.n) + " x " + std::to_string(s.k);
    for (const bool is_int8 : {false, true}) {
      const DType type = is_int8 ? DType::kInt8 : DType::kFloat8E4M3;
      fill_codes(a, is_int8 ? Int8::encode : E4M3::encode, 20.0f);
      fill_codes(b, is_int8 ? Int8::encode : E4M3::encode, 20.0f);
      for (const auto& [trans_a, trans_b] : {std::pair{false, true}, {false, false}, {true, false}}) {
        const int64_t bytes = scaled_mat_mul_workspace_cuda(type, type, trans_a, trans_b, s.m, s.n, s.k);
        const OnDevice<uint8_t> workspace(bytes);
        const std::string name = std::string("scaled_mat_mul ") + (is_int8 ? "int8" : "e4m3") + (trans_a ? " A^T" : " A") + (trans_b ? " B^T" : " B");
        report(name, shape, {.operations = operations, .ceiling = is_int8 ? ceilings.int8 : ceilings.float8}, [&, ta = trans_a, tb = trans_b] {
          return ok(scaled_mat_mul_cuda(products, {a.data(), scale.data(), type}, {b.data(), scale.data(), type}, y.data(), ta, tb, s.m, s.n, s.k,
                                        workspace.data(), bytes, nullptr));
        });
      }
    }
  }
}

}  // namespace

int run_benchmarks(const char* part) {
  wanted_part = part;
  cuda::LtProducts products;
  if (!ok(products.open())) return 1;
  std::printf("{\"cublaslt\": \"%s\", \"file\": \"%s\"}\n", products.version().c_str(), products.path().c_str());
  measure_ceilings(products);
  bench_type<BFloat16>();
  bench_type<float>();
  bench_scaled(products);
  return failures > 0 ? 1 : 0;
}

}  // namespace halo::check
