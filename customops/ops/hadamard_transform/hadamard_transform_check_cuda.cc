#include "ops/hadamard_transform/hadamard_transform.h"

#include "check/cuda/device.h"
#include "check/cuda/limits.h"
#include "common/absolute_max.h"
#include "common/hadamard_matrix.h"

namespace halo::check::hadamard_transform {

namespace {

const SerialExecutor kSerial;

/// `largest`: what the kernels' two bfloat16 between factors, 2^-17 of a sum lost, are held to: more where many vectors make it likely that outliers, 300 times
/// a normal number, meet in a sum.
template <class T>
void check_hadamard(const std::vector<int64_t>& sizes, int64_t others, int axis, bool inverse, double largest = 300) {
  std::vector<HadamardBlock> blocks;
  int64_t n = 0;
  for (const int64_t size : sizes) {
    const HadamardOrder found = hadamard_order(size);
    blocks.push_back({.size = size, .order = found.order, .log2 = found.log2});
    n += size;
  }
  const int64_t rows = axis == 1 ? others : n, columns = axis == 1 ? n : others;
  const auto x = numbers<T>(rows * columns, 61);
  std::vector<T> y(x.size());
  hadamard_transform_cpu(x.data(), y.data(), rows, columns, axis, blocks, inverse, kSerial);
  const OnDevice<T> x_device(x);
  const OnDevice<float> absmax_device(1);
  const std::string what =
      "hadamard transform " + name_of_type<T>() + " of " + std::to_string(sizes[0]) + " axis " + std::to_string(axis) + (inverse ? " inverse" : "");
  const auto found = run_twice<T>(what, rows * columns, [&](T* out) {
    return hadamard_transform_cuda(type_of<T>(), x_device.data(), out, absmax_device.data(), rows, columns, axis, sizes.data(),
                                   static_cast<int64_t>(sizes.size()), inverse, nullptr);
  });
  expect_all_near<T>(found, reals(y), beside<T>(16, largest), what);
  float absmax = 0;
  absolute_max_cpu(found.data(), rows * columns, &absmax, kSerial);
  expect(absmax_device.download(what)[0] == absmax, what + " absmax");
  const OnDevice<T> without(rows * columns);
  expect_success(hadamard_transform_cuda(type_of<T>(), x_device.data(), without.data(), nullptr, rows, columns, axis, sizes.data(),
                                         static_cast<int64_t>(sizes.size()), inverse, nullptr),
                 what);
  expect(same(without.download(what).data(), found.data(), rows * columns), what + ": the maximum changes the result");
}

}  // namespace

HALO_CHECK(cuda_hadamard_transform_as_the_cpu, Memory::kShared) {
  for_floats([]<class T>() {
    std::vector<std::vector<int64_t>> problems = {
        {1},   {2},   {4},        {8},    {32},      {64},   {12},   {40},   {52},    {96},         {172},           {448}, {704},  {64, 16, 4}, {64, 64}, {76},
        {284}, {256}, {512, 512}, {1024}, {2048, 4}, {4096}, {8192}, {8960}, {14336}, {2816, 2816}, {128, 128, 128}, {896}, {1536}, {3584},      {5632}};
    if (!is_reduced()) {
      for (const int64_t size : {11008, 10240, 13824, 2040, 100, 140, 16384, 28672}) problems.push_back({size});
    }
    for (const auto& sizes : problems) {
      const int64_t others = sizes[0] >= 1024 ? 8 : (is_reduced() ? (sizes[0] >= 256 ? 40 : 17) : 72);
      for (const int axis : {0, 1}) {
        check_hadamard<T>(sizes, others, axis, false);
        check_hadamard<T>(sizes, others, axis, true);
      }
    }
  });
}

/// More tiles than a GPU has multiprocessors, the last of them in part, so that blocks walk.
HALO_CHECK(cuda_hadamard_transform_of_many_tiles_as_the_cpu, Memory::kShared) {
  constexpr double kLargest = 1200;
  const int64_t columns = 16 * 9 * (is_reduced() ? 1 : 256) + 8;
  check_hadamard<BFloat16>({256, 256, 256, 256, 256}, columns, 0, false, kLargest);
  check_hadamard<BFloat16>({512, 512}, columns, 0, false, kLargest);
  check_hadamard<Float16>({1024, 1024}, columns, 0, false, kLargest);
  check_hadamard<BFloat16>({2048, 2048}, columns, 0, false, kLargest);
  check_hadamard<Float16>({4096}, columns, 0, true, kLargest);
  const int64_t rows = is_reduced() ? 12 : 1030;
  for (const int64_t size : {704, 1536, 2816, 8960, 11008, 14336}) check_hadamard<BFloat16>({size}, rows, 1, size == 11008, kLargest);
}

HALO_CHECK(limits_of_hadamard_transform_are_named) {
  for (const int64_t size : {int64_t{3}, int64_t{1} << 20}) {
    expect_refused(hadamard_transform_cuda(kFloat, none, nowhere, nullptr, 1, size, 1, &size, 1, false, nullptr), "a block with a Hadamard matrix",
                   std::to_string(size));
  }
  const int64_t size = 4;
  expect_refused(hadamard_transform_cuda(kFloat, none, nowhere, nullptr, 1, 8, 1, &size, 0, false, nullptr), "blocks that sum to the rotated axis, 8", "0");
  const std::vector<int64_t> ones(65536, 1);
  expect_refused(hadamard_transform_cuda(kFloat, none, nowhere, nullptr, 1, 65536, 1, ones.data(), 65536, false, nullptr), "at most 65535 blocks of one size",
                 "65536");
}

}  // namespace halo::check::hadamard_transform
