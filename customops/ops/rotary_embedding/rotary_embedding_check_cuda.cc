#include "ops/rotary_embedding/rotary_embedding.h"

#include "check/cuda/device.h"
#include "check/cuda/limits.h"
#include "check/head_order.h"
#include "common/absolute_max.h"

namespace halo::check::rotary_embedding {

namespace {

const SerialExecutor kSerial;

template <class T>
void check_rotary(int64_t dim, bool has_positions, bool inverse) {
  const RotarySizes sizes{.batch = 2, .heads = 6, .tokens = 9, .dim = dim, .positions = 17};
  const int64_t count = sizes.batch * sizes.heads * sizes.tokens * dim;
  const auto x = numbers<T>(count, 37);
  const auto cos = normal(sizes.positions * dim / 2, 38), sin = normal(sizes.positions * dim / 2, 39);
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < sizes.batch * sizes.tokens; ++i) positions.push_back(i * 5 % sizes.positions);
  std::vector<T> y(x.size());
  const Status status = rotary_embedding_cpu(x.data(), cos.data(), sin.data(), has_positions ? positions.data() : nullptr, y.data(), sizes, inverse, kSerial);
  expect(status.ok(), status.message());
  const OnDevice<T> x_device(x);
  const OnDevice<float> cos_device(cos), sin_device(sin);
  OnDevice<int64_t> positions_device(positions);
  const OnDevice<float> absmax_device(1);
  const std::string what = "rotary embedding " + name_of_type<T>() + " " + std::to_string(dim);
  const OnDevice<T> x_by_token(as_bshd(x, sizes.heads, sizes.tokens, dim));
  const auto rotate = [&](const OnDevice<T>& from, const RotarySizes& of, T* out) {
    return rotary_embedding_cuda(type_of<T>(), from.data(), cos_device.data(), sin_device.data(), has_positions ? positions_device.data() : nullptr, out,
                                 absmax_device.data(), of, inverse, nullptr);
  };
  const auto run = [&](T* out) { return rotate(x_device, sizes, out); };
  const auto by_token = run_twice<T>(what + " bshd", count, [&](T* out) { return rotate(x_by_token, in_bshd(sizes), out); });
  const float absmax_by_token = absmax_device.download(what)[0];
  const auto found = run_twice<T>(what, count, run);
  expect_all_near<T>(found, reals(y), beside<T>(4, 1000), what);
  expect(same(by_token.data(), as_bshd(found, sizes.heads, sizes.tokens, dim).data(), count), what + ": heads side by side changed bits");
  float absmax = 0;
  absolute_max_cpu(found.data(), count, &absmax, kSerial);
  expect(absmax_device.download(what)[0] == absmax && absmax_by_token == absmax, what + " absmax");
  if (!has_positions) return;
  positions[3] = 17;
  positions_device.upload(positions);
  const auto refused = run_twice<T>(what, count, run);
  expect(std::isnan(real(refused[static_cast<size_t>(3 * dim)])) && !std::isnan(real(refused[static_cast<size_t>(2 * dim)])),
         what + ": a position out of range");
  expect(std::isnan(absmax_device.download(what)[0]), what + ": absmax of a position out of range");
}

}  // namespace

HALO_CHECK(cuda_rotary_embedding_as_the_cpu) {
  for_floats([]<class T>() {
    for (const int64_t dim : {2, 16, 64, 128}) {
      for (const bool has_positions : {false, true}) {
        for (const bool inverse : {false, true}) check_rotary<T>(dim, has_positions, inverse);
      }
    }
  });
}

HALO_CHECK(limits_of_rotary_embedding_are_named) {
  const RotarySizes odd{.batch = 1, .heads = 1, .tokens = 4, .dim = 7, .positions = 4}, late{.batch = 1, .heads = 1, .tokens = 9, .dim = 8, .positions = 4};
  expect_refused(rotary_embedding_cuda(kFloat, none, no_floats, no_floats, no_labels, nowhere, nullptr, odd, false, nullptr),
                 "heads of an even number of channels", "7");
  expect_refused(rotary_embedding_cuda(kFloat, none, no_floats, no_floats, no_labels, nowhere, nullptr, late, false, nullptr), "tables of at least 9 positions",
                 "4");
}

}  // namespace halo::check::rotary_embedding
