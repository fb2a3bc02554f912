#include <algorithm>
#include <numeric>

#include "check/cuda/device.h"
#include "provider/kernels/gather.h"
#include "provider/kernels/movement.h"

namespace halo::check {

namespace {

using cuda::Dims;

/// Elements that tell their position.
template <class T>
std::vector<T> positions(int64_t count) {
  std::vector<T> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<T>(i + 1));
  return values;
}

/// Calls f with each index below `dims`, in row-major order.
void for_each_index(const Dims& dims, const std::function<void(const std::vector<int64_t>&)>& f) {
  std::vector<int64_t> index(static_cast<size_t>(dims.rank));
  for (int64_t n = 0; n < dims.count(); ++n) {
    int64_t rest = n;
    for (int axis = dims.rank - 1; axis >= 0; --axis) {
      index[static_cast<size_t>(axis)] = rest % dims.sizes[axis];
      rest /= dims.sizes[axis];
    }
    f(index);
  }
}

int64_t offset(const Dims& dims, const std::vector<int64_t>& index) {
  int64_t at = 0;
  for (int axis = 0; axis < dims.rank; ++axis) at = at * dims.sizes[axis] + index[static_cast<size_t>(axis)];
  return at;
}

template <class T>
void expect_moved(const std::string& what, const std::vector<T>& expected, const std::function<Status(T*)>& kernel) {
  const auto found = run_twice<T>(what, static_cast<int64_t>(expected.size()), kernel);
  expect(found == expected, what + " of " + std::to_string(sizeof(T)) + " bytes");
}

template <class T>
void check_transpose() {
  const std::vector<std::vector<int64_t>> shapes = {{3, 24, 4, 16}, {2, 5, 3, 7}, {72, 64}, {33, 65}, {1, 9}, {8, 4, 24, 16}, {144, 80}, {2, 32, 3, 96}};
  for (const auto& sizes : shapes) {
    const Dims dims = dims_of(sizes);
    const auto x = positions<T>(dims.count());
    const OnDevice<T> x_device(x);
    std::vector<int64_t> permutation(sizes.size());
    std::iota(permutation.begin(), permutation.end(), 0);
    do {
      Dims y_dims{.rank = dims.rank};
      for (int i = 0; i < dims.rank; ++i) y_dims.sizes[i] = dims.sizes[permutation[static_cast<size_t>(i)]];
      std::vector<T> expected;
      for_each_index(y_dims, [&](const std::vector<int64_t>& index) {
        std::vector<int64_t> from(index.size());
        for (size_t i = 0; i < index.size(); ++i) from[static_cast<size_t>(permutation[i])] = index[i];
        expected.push_back(x[static_cast<size_t>(offset(dims, from))]);
      });
      expect_moved<T>("transpose", expected, [&](T* y) { return cuda::transpose(sizeof(T), x_device.data(), dims, per_axis(permutation), y, nullptr); });
    } while (std::next_permutation(permutation.begin(), permutation.end()));
  }
}

template <class T>
void check_slices() {
  struct Cut {
    std::vector<int64_t> starts, steps, sizes;
  };
  const Dims dims = dims_of({3, 8, 25});
  const auto x = positions<T>(dims.count());
  const OnDevice<T> x_device(x);
  for (const Cut& cut : {Cut{{0, 0, 0}, {1, 1, 1}, {3, 8, 25}},
                         {{0, 2, 1}, {1, 1, 1}, {3, 4, 24}},
                         {{2, 7, 24}, {-1, -1, -1}, {3, 8, 25}},
                         {{1, 1, 2}, {1, 2, 3}, {1, 4, 8}},
                         {{0, 0, 24}, {1, 1, -4}, {3, 8, 7}},
                         {{0, 0, 5}, {1, 1, 1}, {3, 8, 0}}}) {
    std::vector<T> expected;
    const Dims y_dims = dims_of(cut.sizes);
    for_each_index(y_dims, [&](std::vector<int64_t> index) {
      for (size_t i = 0; i < 3; ++i) index[i] = cut.starts[i] + index[i] * cut.steps[i];
      expected.push_back(x[static_cast<size_t>(offset(dims, index))]);
    });
    expect_moved<T>("slice", expected,
                    [&](T* y) { return cuda::slice(sizeof(T), x_device.data(), dims, per_axis(cut.starts), per_axis(cut.steps), y, y_dims, nullptr); });
  }
}

template <class T>
void check_joins() {
  for (const int axis : {0, 1, 2}) {
    const std::vector<int64_t> parts = {2, 1, 4};
    Dims whole = dims_of({3, 4, 6});
    whole.sizes[axis] = 7;
    const auto x = positions<T>(whole.count());
    const OnDevice<T> x_device(x);
    std::vector<std::unique_ptr<OnDevice<T>>> pieces;
    std::vector<void*> outputs;
    std::vector<const void*> inputs;
    for (const int64_t part : parts) {
      pieces.push_back(std::make_unique<OnDevice<T>>(whole.count() / 7 * part));
      outputs.push_back(pieces.back()->data());
      inputs.push_back(pieces.back()->data());
    }
    expect_success(cuda::split(sizeof(T), x_device.data(), whole, axis, outputs.data(), parts.data(), 3, nullptr), "split");
    int64_t first = 0;
    for (size_t n = 0; n < parts.size(); ++n) {
      std::vector<T> expected;
      Dims dims = whole;
      dims.sizes[axis] = parts[n];
      for_each_index(dims, [&](std::vector<int64_t> index) {
        index[static_cast<size_t>(axis)] += first;
        expected.push_back(x[static_cast<size_t>(offset(whole, index))]);
      });
      expect(pieces[n]->download("split") == expected, "split along " + std::to_string(axis));
      first += parts[n];
    }
    expect_moved<T>("concat", x, [&](T* y) { return cuda::concat(sizeof(T), inputs.data(), parts.data(), 3, axis, y, whole, nullptr); });
  }
}

template <class T>
void check_repeats() {
  for (const auto& [from, to] : std::vector<std::pair<std::vector<int64_t>, std::vector<int64_t>>>{
           {{3, 1, 4}, {3, 5, 4}}, {{1, 1, 16}, {2, 8, 16}}, {{1}, {2, 3}}, {{}, {5}}, {{3, 3, 1, 24, 32}, {3, 3, 2, 24, 32}}, {{7, 1}, {7, 9}}}) {
    const Dims dims = dims_of(from), y_dims = dims_of(to);
    const auto x = positions<T>(dims.count());
    const OnDevice<T> x_device(x);
    std::vector<T> expected;
    for (int64_t i = 0; i < y_dims.count(); ++i) expected.push_back(x[static_cast<size_t>(broadcast_index(i, dims, y_dims))]);
    expect_moved<T>("expand", expected, [&](T* y) { return cuda::expand(sizeof(T), x_device.data(), dims, y, y_dims, nullptr); });
  }
  for (const auto& repeats : std::vector<std::vector<int64_t>>{{2, 3, 2}, {1, 1, 1}, {1, 4, 1}, {0, 1, 1}}) {
    const Dims dims = dims_of({2, 1, 5});
    Dims y_dims = dims;
    for (int i = 0; i < 3; ++i) y_dims.sizes[i] *= repeats[static_cast<size_t>(i)];
    const auto x = positions<T>(dims.count());
    const OnDevice<T> x_device(x);
    std::vector<T> expected;
    for_each_index(y_dims, [&](std::vector<int64_t> index) {
      for (int i = 0; i < 3; ++i) index[static_cast<size_t>(i)] %= dims.sizes[i];
      expected.push_back(x[static_cast<size_t>(offset(dims, index))]);
    });
    expect_moved<T>("tile", expected, [&](T* y) { return cuda::tile(sizeof(T), x_device.data(), dims, y, y_dims, nullptr); });
  }
}

template <class T>
void check_pads() {
  using cuda::PadMode;
  const Dims dims = dims_of({3, 5}), y_dims = dims_of({4, 6});
  const auto x = positions<T>(dims.count());
  const OnDevice<T> x_device(x), value(std::vector<T>{T(99)});
  for (const PadMode mode : {PadMode::kConstant, PadMode::kEdge, PadMode::kReflect}) {
    for (const auto& begins : std::vector<std::vector<int64_t>>{{1, 1}, {0, 0}, {-1, 2}}) {
      std::vector<T> expected;
      for_each_index(y_dims, [&](std::vector<int64_t> index) {
        bool inside = true;
        for (int i = 0; i < 2; ++i) {
          int64_t& at = index[static_cast<size_t>(i)];
          at -= begins[static_cast<size_t>(i)];
          const int64_t last = dims.sizes[i] - 1;
          if (mode == PadMode::kEdge) at = std::clamp<int64_t>(at, 0, last);
          while (mode == PadMode::kReflect && (at < 0 || at > last)) at = at < 0 ? -at : 2 * last - at;
          inside = inside && at >= 0 && at <= last;
        }
        expected.push_back(inside ? x[static_cast<size_t>(offset(dims, index))] : T(99));
      });
      expect_moved<T>("pad", expected,
                      [&](T* y) { return cuda::pad(sizeof(T), mode, x_device.data(), dims, per_axis(begins), value.data(), y, y_dims, nullptr); });
    }
  }
}

template <class T>
void check_generated() {
  const auto x = positions<T>(2 * 5 * 7);
  const OnDevice<T> x_device(x);
  for (const bool upper : {false, true}) {
    for (const int64_t k : {int64_t{0}, int64_t{-2}, int64_t{3}}) {
      std::vector<T> expected = x;
      for (int64_t i = 0; i < 70; ++i) {
        const int64_t row = i / 7 % 5, column = i % 7;
        if (upper ? column - row < k : column - row > k) expected[static_cast<size_t>(i)] = 0;
      }
      expect_moved<T>("triangle", expected, [&](T* y) { return cuda::triangle(sizeof(T), x_device.data(), y, 2, 5, 7, k, upper, nullptr); });
    }
  }
  for (const int64_t count : {0, 1, 5, 16, 1000}) {
    expect_moved<T>("fill", std::vector<T>(static_cast<size_t>(count), T(77)), [&](T* y) { return cuda::fill(sizeof(T), 77, y, count, nullptr); });
  }
  const OnDevice<int64_t> indices(std::vector<int64_t>{1, -1, 9, 0});
  const OnDevice<T> values(std::vector<T>{T(5), T(6)});
  expect_moved<T>("one hot", {T(5), T(6), T(5), T(5), T(5), T(6), T(5), T(5), T(5), T(6), T(5), T(5)}, [&](T* y) {
    return cuda::one_hot(sizeof(T), {indices.data(), DType::kInt64}, values.data(), y, 4, 3, 1, nullptr);
  });
}

template <class T, class I>
void check_gathers() {
  const auto ones = static_cast<T>(~T(0));
  for (const int64_t inner : {1, 3, 16}) {
    const int64_t outer = 2, size = 7;
    const auto data = positions<T>(outer * size * inner);
    const std::vector<I> indices = {0, 6, -1, 3, 3, 7, -8};
    const OnDevice<T> data_device(data);
    const OnDevice<I> indices_device(indices);
    std::vector<T> expected;
    for (int64_t o = 0; o < outer; ++o) {
      for (I index : indices) {
        index += index < 0 ? static_cast<I>(size) : 0;
        for (int64_t i = 0; i < inner; ++i) {
          expected.push_back(index >= 0 && index < size ? data[static_cast<size_t>((o * size + static_cast<int64_t>(index)) * inner + i)] : ones);
        }
      }
    }
    expect_moved<T>("gather", expected, [&](T* y) {
      return cuda::gather(sizeof(T), data_device.data(), {indices_device.data(), type_of<I>()}, 7, y, outer, size, inner, nullptr);
    });
  }
  const Dims data_dims = dims_of({3, 4, 5}), indices_dims = dims_of({2, 6, 5});
  const auto data = positions<T>(60);
  std::vector<I> indices;
  for (int i = 0; i < 60; ++i) indices.push_back(static_cast<I>(i % 9 - 4));
  const OnDevice<T> data_device(data);
  const OnDevice<I> indices_device(indices);
  std::vector<T> expected;
  size_t n = 0;
  for_each_index(indices_dims, [&](std::vector<int64_t> index) {
    index[1] = static_cast<int64_t>(indices[n++]);
    index[1] += index[1] < 0 ? 4 : 0;
    expected.push_back(index[1] < 4 ? data[static_cast<size_t>(offset(data_dims, index))] : ones);
  });
  expect_moved<T>("gather elements", expected, [&](T* y) {
    return cuda::gather_elements(sizeof(T), data_device.data(), data_dims, {indices_device.data(), type_of<I>()}, indices_dims, 1, y, nullptr);
  });
  const OnDevice<I> tuples(std::vector<I>{0, 1, 2, -1, -1, 0, 1, 9});
  expected.clear();
  for (const int64_t slice : {1, 11, 8, -1}) {  // (0, 1), (2, -1), (-1, 0), (1, 9)
    for (int64_t i = 0; i < 5; ++i) expected.push_back(slice < 0 ? ones : data[static_cast<size_t>(slice * 5 + i)]);
  }
  expect_moved<T>("gather nd", expected, [&](T* y) {
    return cuda::gather_nd(sizeof(T), data_device.data(), data_dims, {tuples.data(), type_of<I>()}, dims_of({4, 2}), 0, y, nullptr);
  });
  const OnDevice<I> batched(std::vector<I>{0, 3, -1, 1, 2, 2});
  expected.clear();
  for (const int64_t slice : {0, 3, 7, 5, 10, 10}) {
    for (int64_t i = 0; i < 5; ++i) expected.push_back(data[static_cast<size_t>(slice * 5 + i)]);
  }
  expect_moved<T>("gather nd in batches", expected, [&](T* y) {
    return cuda::gather_nd(sizeof(T), data_device.data(), data_dims, {batched.data(), type_of<I>()}, dims_of({3, 2, 1}), 1, y, nullptr);
  });
}

template <class F>
void for_sizes(F&& f) {
  f.template operator()<uint8_t>();
  f.template operator()<uint16_t>();
  f.template operator()<uint32_t>();
  f.template operator()<uint64_t>();
}

}  // namespace

HALO_CHECK(cuda_transposes, Memory::kShared) {
  for_sizes([]<class T>() { check_transpose<T>(); });
}
HALO_CHECK(cuda_slices_joins_and_repeats) {
  for_sizes([]<class T>() {
    check_slices<T>();
    check_joins<T>();
    check_repeats<T>();
  });
}
HALO_CHECK(cuda_pads_and_generates) {
  for_sizes([]<class T>() {
    check_pads<T>();
    check_generated<T>();
  });
  const int64_t start = -3, delta = 2;
  expect_moved<int64_t>("range", {-3, -1, 1, 3}, [&](int64_t* y) { return cuda::range(DType::kInt64, &start, &delta, y, 4, nullptr); });
}
HALO_CHECK(cuda_gathers) {
  for_sizes([]<class T>() {
    check_gathers<T, int64_t>();
    check_gathers<T, int32_t>();
  });
}

}  // namespace halo::check
