// Tensors of more than 2^31 elements: each element has the bits that it has in a small tensor. Inputs repeat after a period, and so must outputs; windows of
// them are compared at the begin, around 2^31 and at the end. With --reduced the same of small tensors. Else 44 GB of the device, one kernel after the other.
#include <algorithm>

#include "check/cuda/device.h"
#include "ops/adam_w/adam_w.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/cross_entropy_grad/cross_entropy_grad.h"
#include "ops/dequantize_blocks/dequantize_blocks.h"
#include "ops/embedding_grad/embedding_grad.h"
#include "ops/hadamard_transform/hadamard_transform.h"
#include "ops/quantize/quantize.h"
#include "ops/quantize_blocks/quantize_blocks.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rms_norm_grad/rms_norm_grad.h"
#include "ops/rotary_embedding/rotary_embedding.h"
#include "ops/square_sum/square_sum.h"
#include "ops/swi_glu/swi_glu.h"
#include "ops/swi_glu_grad/swi_glu_grad.h"
#include "ops/weighted_sum/weighted_sum.h"
#include "provider/kernels/elementwise.h"
#include "provider/kernels/gather.h"
#include "provider/kernels/movement.h"

namespace halo::check {

namespace {

/// Columns of a row, rows of a period, and rows of a tensor: a few more than hold 2^31 elements.
struct Sizes {
  int64_t columns, period, rows;
  int64_t count() const { return columns * rows; }
  int64_t of_period() const { return columns * period; }
};

/// The most elements that an int counts, and some; few where checks are reduced.
Sizes sizes_of(int64_t columns) { return {columns, 16, ((is_reduced() ? int64_t{1} << 13 : int64_t{1} << 31) / columns / 16 + 3) * 16}; }

/// A tensor on the device that repeats `period`.
template <class T>
class Periodic {
 public:
  Periodic(const std::vector<T>& period, int64_t count) : all_(count) {
    const auto size = static_cast<int64_t>(period.size());
    cudaMemcpy(all_.data(), period.data(), period.size() * sizeof(T), cudaMemcpyHostToDevice);
    for (int64_t done = size; done < count; done *= 2) {
      const auto bytes = static_cast<size_t>(std::min(done, count - done)) * sizeof(T);
      expect_success(cudaMemcpy(all_.data() + done, all_.data(), bytes, cudaMemcpyDeviceToDevice), "a pattern");
    }
  }

  T* data() const { return all_.data(); }

 private:
  OnDevice<T> all_;
};

/// Notes where windows of `found` (count) are not `period` over and over.
template <class T>
void expect_periodic(const T* found, int64_t count, const std::vector<T>& period, const std::string& what) {
  constexpr int64_t kWindow = int64_t{1} << 16;
  const auto repeats = static_cast<int64_t>(period.size());
  for (const int64_t middle : {int64_t{0}, int64_t{1} << 31, count}) {
    const int64_t first = std::clamp<int64_t>(middle - kWindow / 2, 0, std::max<int64_t>(0, count - kWindow)), length = std::min(kWindow, count - first);
    std::vector<T> window(static_cast<size_t>(length));
    expect_success(cudaDeviceSynchronize(), what);
    expect_success(cudaMemcpy(window.data(), found + first, window.size() * sizeof(T), cudaMemcpyDeviceToHost), what);
    int64_t wrong = -1;
    for (int64_t i = length - 1; i >= 0; --i) {
      if (!same(&window[static_cast<size_t>(i)], &period[static_cast<size_t>((first + i) % repeats)], 1)) wrong = first + i;
    }
    expect(wrong < 0, what + " element " + std::to_string(wrong) + " of " + std::to_string(count) + ": other bits than in a small tensor");
  }
}

/// Runs `kernel` on a small output of `period` elements and on a large one, both in the same type, and compares.
template <class T>
void check_periodic(const std::string& what, int64_t period, int64_t count, const std::function<Status(T*, bool is_large)>& kernel) {
  const OnDevice<T> small(period), large(count);
  expect_success(kernel(small.data(), false), what);
  expect_success(kernel(large.data(), true), what);
  expect_periodic(large.data(), count, small.download(what), what);
}

constexpr DType kType = DType::kBFloat16;

std::vector<BFloat16> pattern(const Sizes& sizes, uint32_t seed) { return rounded_to<BFloat16>(sizes.of_period(), seed); }

void check_elementwise(const Sizes& sizes) {
  const Periodic<BFloat16> a(pattern(sizes, 1), sizes.count()), b(pattern(sizes, 2), sizes.count());
  const auto rows = [&](bool is_large) { return is_large ? sizes.rows : sizes.period; };
  check_periodic<BFloat16>("large add", sizes.of_period(), sizes.count(), [&](BFloat16* y, bool is_large) {
    const auto dims = dims_of({rows(is_large), sizes.columns});
    return cuda::binary(cuda::BinaryOp::kAdd, kType, a.data(), dims, b.data(), dims, y, dims, nullptr);
  });
  check_periodic<BFloat16>("large add of a row", sizes.of_period(), sizes.count(), [&](BFloat16* y, bool is_large) {
    const auto dims = dims_of({rows(is_large), sizes.columns});
    return cuda::binary(cuda::BinaryOp::kAdd, kType, a.data(), dims, b.data(), dims_of({sizes.columns}), y, dims, nullptr);
  });
  check_periodic<float>("large cast", sizes.of_period(), sizes.count(),
                        [&](float* y, bool is_large) { return cuda::cast(kType, DType::kFloat, a.data(), y, rows(is_large) * sizes.columns, true, nullptr); });
  check_periodic<BFloat16>("large swi glu", sizes.of_period(), sizes.count(), [&](BFloat16* y, bool is_large) {
    return swi_glu_cuda(kType, a.data(), b.data(), y, nullptr, rows(is_large) * sizes.columns, nullptr);
  });
  const OnDevice<BFloat16> other(sizes.count());
  check_periodic<BFloat16>("large swi glu grad", sizes.of_period(), sizes.count(), [&](BFloat16* dgate, bool is_large) {
    return swi_glu_grad_cuda(kType, a.data(), b.data(), a.data(), nullptr, nullptr, dgate, other.data(), nullptr, nullptr, nullptr,
                             rows(is_large) * sizes.columns, nullptr);
  });
  check_periodic<BFloat16>("large hadamard", sizes.of_period(), sizes.count(), [&](BFloat16* y, bool is_large) {
    return hadamard_transform_cuda(kType, a.data(), y, nullptr, rows(is_large), sizes.columns, 1, &sizes.columns, 1, false, nullptr);
  });
  check_periodic<BFloat16>("large transpose", sizes.of_period(), sizes.count(), [&](BFloat16* y, bool is_large) {
    return cuda::transpose(2, a.data(), dims_of({rows(is_large) / sizes.period, sizes.period, sizes.columns / 64, 64}), per_axis({0, 2, 1, 3}), y, nullptr);
  });
}

void check_norm(const Sizes& sizes) {
  const Periodic<BFloat16> x(pattern(sizes, 3), sizes.count()), dy(pattern(sizes, 4), sizes.count());
  const OnDevice<BFloat16> weight(rounded_to<BFloat16>(sizes.columns, 5)), dweight(sizes.columns);
  const OnDevice<float> inv_rms(sizes.rows);
  const OnDevice<uint8_t> work(rms_norm_grad_workspace_cuda(sizes.rows, sizes.columns));
  const auto rows = [&](bool is_large) { return is_large ? sizes.rows : sizes.period; };
  check_periodic<BFloat16>("large norm", sizes.of_period(), sizes.count(), [&](BFloat16* y, bool is_large) {
    return rms_norm_cuda(kType, x.data(), weight.data(), y, inv_rms.data(), nullptr, rows(is_large), sizes.columns, 1e-5f, nullptr);
  });
  check_periodic<BFloat16>("large norm grad", sizes.of_period(), sizes.count(), [&](BFloat16* dx, bool is_large) {
    return rms_norm_grad_cuda(kType, dy.data(), x.data(), weight.data(), inv_rms.data(), nullptr, dx, dweight.data(), nullptr, rows(is_large), sizes.columns,
                              work.data(), nullptr);
  });
}

void check_codes(const Sizes& sizes) {
  const Periodic<BFloat16> x(pattern(sizes, 6), sizes.count());
  const OnDevice<uint8_t> work(quantize_workspace_cuda()), small_turned(sizes.of_period()), turned(sizes.count());
  const OnDevice<float> scale(1), scales(sizes.count() / 128 + 1);
  const auto rows = [&](bool is_large) { return is_large ? sizes.rows : sizes.period; };
  check_periodic<uint8_t>("large quantize", sizes.of_period(), sizes.count(), [&](uint8_t* codes, bool is_large) {
    return quantize_cuda("e4m3", kType, x.data(), nullptr, codes, (is_large ? turned : small_turned).data(), scale.data(), rows(is_large), sizes.columns,
                         work.data(), nullptr);
  });
  const std::vector<uint8_t> last = small_turned.download("large quantize");
  expect_periodic(turned.data() + (sizes.columns - 1) * sizes.rows, sizes.rows,
                  std::vector<uint8_t>(last.end() - static_cast<std::ptrdiff_t>(sizes.period), last.end()), "large quantize: the last row transposed");
  check_periodic<uint8_t>("large blocks of codes", sizes.of_period(), sizes.count(), [&](uint8_t* codes, bool is_large) {
    return quantize_blocks_cuda(kType, x.data(), codes, scales.data(), rows(is_large) * sizes.columns, nullptr);
  });
  const OnDevice<uint8_t> codes(sizes.count());
  expect_success(quantize_blocks_cuda(kType, x.data(), codes.data(), scales.data(), sizes.count(), nullptr), "large blocks of codes");
  check_periodic<BFloat16>("large numbers of codes", sizes.of_period(), sizes.count(), [&](BFloat16* y, bool is_large) {
    return dequantize_blocks_cuda(kType, codes.data(), scales.data(), y, rows(is_large) * sizes.columns, nullptr);
  });
}

/// Labels that all count: the gradient is scaled by their number, which dloss undoes.
void check_loss(const Sizes& sizes) {
  const Periodic<BFloat16> logits(pattern(sizes, 7), sizes.count());
  std::vector<int64_t> of_period;
  for (int64_t i = 0; i < sizes.period; ++i) of_period.push_back((i * 977 + 5) % sizes.columns);
  const Periodic<int64_t> labels(of_period, sizes.rows);
  const OnDevice<float> loss(1), small_dloss(std::vector<float>{static_cast<float>(sizes.period)}), dloss(std::vector<float>{static_cast<float>(sizes.rows)});
  const OnDevice<uint8_t> work(std::max(cross_entropy_workspace_cuda(sizes.rows), cross_entropy_grad_workspace_cuda()));
  const auto rows = [&](bool is_large) { return is_large ? sizes.rows : sizes.period; };
  const OnDevice<float> sums(sizes.rows);
  check_periodic<float>("large loss", sizes.period, sizes.rows, [&](float* log_sum_exp, bool is_large) {
    return cross_entropy_cuda(kType, logits.data(), labels.data(), loss.data(), log_sum_exp, rows(is_large), sizes.columns, -100, work.data(), nullptr);
  });
  expect_success(cross_entropy_cuda(kType, logits.data(), labels.data(), loss.data(), sums.data(), sizes.rows, sizes.columns, -100, work.data(), nullptr),
                 "large loss");
  check_periodic<BFloat16>("large loss grad", sizes.of_period(), sizes.count(), [&](BFloat16* dlogits, bool is_large) {
    return cross_entropy_grad_cuda(kType, (is_large ? dloss : small_dloss).data(), logits.data(), labels.data(), sums.data(), dlogits, rows(is_large),
                                   sizes.columns, -100, work.data(), nullptr);
  });
}

/// Ids in turn; what comes back are small whole numbers, whose sums are exact.
void check_embedding(const Sizes& sizes) {
  const OnDevice<BFloat16> weight(pattern(sizes, 8));
  std::vector<int64_t> of_period;
  for (int64_t i = 0; i < sizes.period; ++i) of_period.push_back(i);
  const Periodic<int64_t> ids(of_period, sizes.rows);
  const auto rows = [&](bool is_large) { return is_large ? sizes.rows : sizes.period; };
  check_periodic<BFloat16>("large embedding", sizes.of_period(), sizes.count(), [&](BFloat16* y, bool is_large) {
    return cuda::gather(2, weight.data(), {ids.data(), DType::kInt64}, rows(is_large), y, 1, sizes.period, sizes.columns, nullptr);
  });
  std::vector<BFloat16> of_row;
  std::vector<float> expected;
  for (int64_t i = 0; i < sizes.columns; ++i) {
    of_row.push_back(typed<BFloat16>(static_cast<double>(i % 5 - 2)));
    expected.push_back(static_cast<float>((i % 5 - 2) * (sizes.rows / sizes.period)));
  }
  const Periodic<BFloat16> dy(of_row, sizes.count());
  const OnDevice<float> dweight(sizes.of_period());
  const OnDevice<uint8_t> work(embedding_grad_workspace_cuda(sizes.rows, sizes.columns));
  expect_success(embedding_grad_cuda(kType, DType::kFloat, dy.data(), ids.data(), dweight.data(), sizes.rows, sizes.columns, TableRows::all(sizes.period),
                                     work.data(), nullptr),
                 "large embedding grad");
  expect_periodic(dweight.data(), sizes.of_period(), expected, "large embedding grad");
}

void check_rotary(int64_t dim) {
  const RotarySizes small{1, 4, is_reduced() ? 8 : 16, dim, 16};
  RotarySizes large = small;
  const int64_t period = small.heads * small.tokens * dim;
  large.batch = (is_reduced() ? int64_t{1} << 13 : int64_t{1} << 31) / period + 3;
  const Periodic<BFloat16> x(rounded_to<BFloat16>(period, 9), period * large.batch);
  const OnDevice<float> cosines(normal(small.positions * dim / 2, 10)), sines(normal(small.positions * dim / 2, 11));
  std::vector<int64_t> of_row;
  for (int64_t i = 0; i < small.tokens; ++i) of_row.push_back((i * 3) % small.positions);
  const Periodic<int64_t> positions(of_row, small.tokens * large.batch);
  check_periodic<BFloat16>("large rotary", period, period * large.batch, [&](BFloat16* y, bool is_large) {
    return rotary_embedding_cuda(kType, x.data(), cosines.data(), sines.data(), positions.data(), y, nullptr, is_large ? large : small, false, nullptr);
  });
}

void check_update(const Sizes& sizes) {
  const auto normals = [&](uint32_t seed) { return normal(sizes.of_period(), seed); };
  std::vector<float> squares = normals(15);
  for (float& v : squares) v *= v;
  const OnDevice<float> scalars(std::vector<float>{0.5f, 1e-3f, 0.9f, 0.99f});
  const AdamWStep step{scalars.data(), scalars.data() + 1, scalars.data() + 2, scalars.data() + 3, nullptr, nullptr, 0};
  const AdamWFactors factors{0.9f, 0.1f, 0.999f, 0.001f, 1e-8f};
  const auto update = [&](int64_t count) {
    const Periodic<float> p(normals(12), count), gradient(normals(13), count), m(normals(14), count), v(squares, count);
    expect_success(adam_w_cuda<float, float>({p.data(), gradient.data(), m.data(), v.data(), p.data(), m.data(), v.data()}, step, factors, count, nullptr),
                   "large AdamW");
    static std::vector<float> small_p, small_v;
    if (count == sizes.of_period()) {
      small_p.resize(static_cast<size_t>(count)), small_v.resize(static_cast<size_t>(count));
      expect_success(cudaDeviceSynchronize(), "large AdamW");
      cudaMemcpy(small_p.data(), p.data(), small_p.size() * sizeof(float), cudaMemcpyDeviceToHost);
      cudaMemcpy(small_v.data(), v.data(), small_v.size() * sizeof(float), cudaMemcpyDeviceToHost);
    }
    expect_periodic(p.data(), count, small_p, "large AdamW: parameter");
    expect_periodic(v.data(), count, small_v, "large AdamW: second moment");
  };
  update(sizes.of_period());
  update(sizes.count());
}

void check_sums(const Sizes& sizes) {
  const Periodic<float> sum(normal(sizes.of_period(), 16), sizes.count());
  const Periodic<BFloat16> x(pattern(sizes, 17), sizes.count());
  const OnDevice<float> factors(std::vector<float>{1.0f, 0.3f}), total(1);
  const WeightedSumScalars scalars{.keep = factors.data(), .weight = factors.data() + 1};
  check_periodic<float>("large weighted sum", sizes.of_period(), sizes.count(), [&](float* y, bool is_large) {
    return weighted_sum_cuda(kType, sum.data(), x.data(), scalars, y, (is_large ? sizes.rows : sizes.period) * sizes.columns, nullptr);
  });
  const Periodic<BFloat16> ones(std::vector<BFloat16>(16, typed<BFloat16>(1)), sizes.count());
  const int64_t bytes = square_sum_workspace_cuda(sizes.count());
  const OnDevice<uint8_t> work(bytes);
  expect_success(square_sum_cuda(kType, ones.data(), total.data(), sizes.count(), work.data(), bytes, nullptr), "large square sum");
  expect(total.download("large square sum")[0] == static_cast<float>(sizes.count()), "large square sum: of ones their number");
}

}  // namespace

HALO_CHECK(cuda_elements_past_2_to_the_31) {
  check_elementwise(sizes_of(2048));
  check_norm(sizes_of(4096));
  check_codes(sizes_of(4096));
  check_loss(sizes_of(is_reduced() ? 512 : 131072));
  check_embedding(sizes_of(2048));
  check_rotary(128);
  check_update(sizes_of(4096));
  check_sums(sizes_of(4096));
}

}  // namespace halo::check
