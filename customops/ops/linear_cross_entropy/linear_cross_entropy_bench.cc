#include "ops/linear_cross_entropy/linear_cross_entropy.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

/// The head of Llama-3.2-1B over 8192 tokens: a forward product and two of the gradient.
HALO_BENCH(linear_cross_entropy) {
  const LinearCrossEntropySizes s{.rows = 8192, .width = 2048, .classes = 128256, .chunk = 4096, .ignored = -100};
  static LtProducts products;
  Array<BFloat16> x(s.rows * s.width), w(s.classes * s.width);
  fill_normal(x);
  fill_normal(w);
  const Array<BFloat16> dx(s.rows * s.width), dw(s.classes * s.width);
  std::vector<int64_t> numbers;
  for (int64_t row = 0; row < s.rows; ++row) numbers.push_back(row * 15 % s.classes);
  const Array<int64_t> labels(numbers);
  const Array<float> dloss(std::vector<float>{1.0f}), loss(1);
  const Array<uint8_t> workspace(linear_cross_entropy_workspace_cuda(DType::kBFloat16, s));
  bench.time("linear_cross_entropy", "bfloat16", shape_of({s.rows, s.width, s.classes}),
             {.operations = 6.0 * static_cast<double>(s.rows) * static_cast<double>(s.width) * static_cast<double>(s.classes)}, [&] {
               return linear_cross_entropy_cuda(products, DType::kBFloat16, DType::kBFloat16, x.data(), w.data(), labels.data(), dloss.data(), loss.data(),
                                                dx.data(), dw.data(), s, workspace.data(), nullptr);
             });
}

}  // namespace halo::cuda::bench
