#include "provider/kernels/packed_product.h"

#include <algorithm>

#include "provider/kernels/few_rows.cuh"
#include "provider/kernels/packed_units.cuh"
#include "provider/kernels/words.cuh"

namespace halo::cuda {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp, kBlocksOfProcessor = 2;

/// Packs of 16 bytes of A that a thread has in flight.
constexpr int kInputPacks = 4;

/// Bytes of codes that a block asks for before A is known.
constexpr int64_t kPrefetchBytes = 64 << 10;

/// Floats from a row of A to the next in shared memory.
int64_t pitch_of(const PackedMatrices& w) { return (place_of(w.weights(0).blocks() * w.block) + 3) / 4 * 4; }

int64_t shared_bytes(int64_t rows, const PackedMatrices& w) { return rows * (pitch_of(w) + 2 * kWarps * kColumns) * static_cast<int64_t>(sizeof(float)); }

int64_t units_of(const PackedMatrices& w) { return w.weights(0).blocks() * (w.block * w.bits / 8 / kUnitBytes); }

/// Asks for what the block's first groups read: a thread has the codes, scales or zeros of the columns of one half of a group, which lie behind one another.
template <class T>
__device__ void prefetch_groups(const Products<T>& p, int first_group, int groups) {
  constexpr int kKinds = 3, kPieces = 2 * kKinds;
  const int step = static_cast<int>(gridDim.x) * groups;
  const int64_t codes_bytes = static_cast<int64_t>(p.units) * kUnitBytes, most = kPrefetchBytes / (codes_bytes * kColumns * groups);
  const int rounds = most > 0 ? static_cast<int>(most) : 1;
  for (int i = static_cast<int>(threadIdx.x); i < rounds * groups * kPieces; i += kThreads) {
    const int piece = i % kPieces, of_block = i / kPieces % groups, group = first_group + i / (kPieces * groups) * step + of_block;
    if (group >= p.groups) return;
    const Group<T> columns(p, group);
    const int kind = piece / 2;
    const bool is_second = piece % 2 == 1;
    const void* codes = is_second ? columns.codes[kHalf] : columns.codes[0];
    const void* scales = is_second ? columns.scales[kHalf] : columns.scales[0];
    const void* zeros = is_second ? columns.zeros[kHalf] : columns.zeros[0];
    if (kind == 0) prefetch(codes, kHalf * codes_bytes);
    if (kind == 1) prefetch(scales, kHalf * static_cast<int64_t>(p.blocks) * static_cast<int64_t>(sizeof(T)));
    if (kind == 2 && p.zeros != Zeros::kNone) prefetch(zeros, kHalf * p.zero_bytes);
  }
}

/// A in float32, zeros up to `end` behind K: what the last block of a row of W may have more.
template <class T>
__device__ void place_inputs(float* inputs, const T* a, int rows, int pitch, int k_count, int end, bool is_aligned) {
  constexpr int kWidth = kRowWidth<T>;
  const int packs = (end + kWidth - 1) / kWidth;
  for (int row = 0; row < rows; ++row) {
    for (int first = static_cast<int>(threadIdx.x); first < packs; first += kInputPacks * kThreads) {
      Words<T> x[kInputPacks];
#pragma unroll
      for (int p = 0; p < kInputPacks; ++p) {
        const int k = (first + p * kThreads) * kWidth;
        if (k < k_count) x[p].load(a + static_cast<int64_t>(row) * k_count + k, is_aligned && k_count - k >= kWidth, k_count - k);
      }
#pragma unroll
      for (int p = 0; p < kInputPacks; ++p) {
        const int k = (first + p * kThreads) * kWidth;
        if (k >= end) continue;
#pragma unroll
        for (int i = 0; i < kWidth; i += 4) {
          *reinterpret_cast<Pack<float, 4>*>(inputs + row * pitch +
                                             place_of(k + i)) = {{x[p].number(i), x[p].number(i + 1), x[p].number(i + 2), x[p].number(i + 3)}};
        }
      }
    }
  }
}

template <class T>
__device__ float biased(float sum, const T* bias, int n) {
  return bias == nullptr ? sum : sum + to_float(bias[n]);
}

/// Stores column c of a group for a row of A.
template <class T, class F>
__device__ void store(const Products<T>& p, T* y, int group, int c, F sum_of) {
  if (group >= p.groups) return;
  if (p.is_gated) {
    const int n = group * kHalf + c;
    if (c >= kHalf || n >= p.matrices[0].n) return;
    const float gate = biased(sum_of(c), p.matrices[0].bias, n);
    y[n] = from_float<T>(gate / (1.0f + expf(-gate)) * biased(sum_of(c + kHalf), p.matrices[1].bias, n));
    return;
  }
  const Matrix<T> m = p.matrix_of(group);
  const int n = (group - m.first_group) * kColumns + c;
  if (n < m.n) y[m.first_column + n] = from_float<T>(biased(sum_of(c), m.bias, n));
}

/// `group_warps` warps share a group, a lane a unit of each column at a time, with the next one's loads in flight, of the block's next groups too. A lies in
/// shared memory, where it is read once a block; codes come to the L2 cache while the kernel in front still makes it.
template <class T, int bits, int rows>
__global__ void __launch_bounds__(kThreads, kBlocksOfProcessor)
    packed_product_kernel(const T* a, Products<T> p, T* y, int k_count, int pitch, bool is_aligned, int group_warps) {
  auto* inputs = dynamic_shared<float>();
  float* scratch = inputs + rows * pitch;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp, groups = kWarps / group_warps;
  const int first_unit = warp % group_warps * kWarp + lane, unit_step = group_warps * kWarp, group_step = static_cast<int>(gridDim.x) * groups;
  const int first_group = static_cast<int>(blockIdx.x) * groups, of_block = warp / group_warps;
  let_next_start();
  prefetch_groups(p, first_group, groups);
  Group<T> columns(p, first_group + of_block);
  wait_for_inputs();
  Units<T> next = {};
  if (first_group + of_block < p.groups && first_unit < p.units) load<T, bits>(&next, p, columns, first_unit);
  place_inputs(inputs, a, rows, pitch, k_count, p.units * (kUnitBytes * 8 / bits), is_aligned);
  __syncthreads();
  for (int base = first_group, buffer = 0; base < p.groups; base += group_step, buffer ^= 1) {
    float sums[kColumns][rows] = {};
    const int end = base + of_block < p.groups ? p.units : 0;
    for (int unit = first_unit; unit < end; unit += unit_step) {
      const Units<T> units = next;
      const bool is_last = unit + unit_step >= p.units;
      const int ahead = base + of_block + group_step;
      if (is_last && ahead < p.groups) columns = Group<T>(p, ahead);
      if (!is_last || ahead < p.groups) load<T, bits>(&next, p, columns, is_last ? first_unit : unit + unit_step);
      add_units<T, bits, rows>(sums, units, p, unit, inputs, pitch);
    }
    sum_of_groups(sums, scratch + buffer * kWarps * kColumns * rows, group_warps,
                  [&](int group, int c, int r, auto sum_of) { store(p, y + r * p.columns, base + group, c, sum_of); });
  }
}

template <class T>
Products<T> products_of(const PackedMatrices& w) {
  const int64_t blocks = w.weights(0).blocks();
  const Zeros zeros = w.zero_type == DType::kUndefined ? Zeros::kNone : w.zero_type == DType::kUInt8 ? Zeros::kCodes : Zeros::kNumbers;
  Products<T> p{.matrices = {},
                .count = w.count,
                .groups = 0,
                .units = static_cast<int>(units_of(w)),
                .blocks = static_cast<int>(blocks),
                .columns = w.columns(),
                .zero_bytes = zeros == Zeros::kNone      ? 0
                              : zeros == Zeros::kNumbers ? blocks * static_cast<int64_t>(sizeof(T))
                                                         : w.weights(0).zero_bytes(),
                .units_of_block = Divider(w.block * w.bits / 8 / kUnitBytes),
                .zeros = zeros,
                .is_gated = w.is_gated};
  int column = 0;
  for (int i = 0; i < w.count; ++i) {
    const PackedMatrix& m = w.matrices[i];
    p.matrices[i] = {
        m.codes, static_cast<const T*>(m.scales), static_cast<const uint8_t*>(m.zeros), static_cast<const T*>(m.bias), static_cast<int>(m.n), p.groups, column};
    if (!w.is_gated || i == 0) p.groups += static_cast<int>(ceil_div(m.n, w.is_gated ? kHalf : kColumns));
    column += static_cast<int>(m.n);
  }
  return p;
}

template <class T, int bits, int rows>
Status start(const void* a, const PackedMatrices& w, void* y, cudaStream_t stream) {
  const int64_t bytes = shared_bytes(rows, w);
  HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(packed_product_kernel<T, bits, rows>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
  const Products<T> p = products_of<T>(w);
  const int group_warps = warps_of_group(ceil_div(p.units, kWarp), kWarps);
  const bool is_aligned = cuda::is_aligned(a, 16) && w.k * static_cast<int64_t>(sizeof(T)) % 16 == 0;
  const int64_t blocks = std::min<int64_t>(ceil_div(p.groups, kWarps / group_warps), int64_t{kBlocksOfProcessor} * multiprocessors());
  return launch_dependent(packed_product_kernel<T, bits, rows>, static_cast<unsigned>(blocks), kThreads, static_cast<size_t>(bytes), stream,
                          static_cast<const T*>(a), p, static_cast<T*>(y), static_cast<int>(w.k), static_cast<int>(pitch_of(w)), is_aligned, group_warps);
}

template <class T, int bits>
Status start(int64_t rows, const void* a, const PackedMatrices& w, void* y, cudaStream_t stream) {
  switch (rows) {
    case 1:
      return start<T, bits, 1>(a, w, y, stream);
    case 2:
      return start<T, bits, 2>(a, w, y, stream);
    case 3:
      return start<T, bits, 3>(a, w, y, stream);
    default:
      return start<T, bits, 4>(a, w, y, stream);
  }
}

}  // namespace

bool packed_products_support(int64_t rows, const PackedMatrices& w) {
  if (rows < 1 || rows > kMostPackedRows || w.block * w.bits / 8 % kUnitBytes != 0 || shared_bytes(rows, w) > most_shared_bytes()) return false;
  for (int i = 0; i < w.count; ++i) {
    if (!is_aligned(w.matrices[i].codes, kUnitBytes) || w.matrices[i].n > std::numeric_limits<int>::max() / 4) return false;
  }
  return true;
}

Status packed_products(DType type, const void* a, int64_t rows, const PackedMatrices& w, void* y, cudaStream_t stream) {
  HALO_REQUIRE(w.bits == 2 || w.bits == 4 || w.bits == 8, "weights of 2, 4 or 8 bits", w.bits, "Check bits.");
  HALO_REQUIRE(w.count >= 1 && w.count <= kMostMatrices, "1 to " << kMostMatrices << " matrices", w.count, "Split the product.");
  HALO_REQUIRE(!w.is_gated || (w.count == 2 && w.matrices[0].n == w.matrices[1].n), "two matrices of one N for a gated product",
               w.count << " of " << w.matrices[0].n << " and " << w.matrices[1].n, "Multiply them apart.");
  HALO_REQUIRE(packed_products_support(rows, w), "1 to " << kMostPackedRows << " rows, blocks of 16 bytes", rows << " rows, " << w.block << " weights",
               "Unpack the weights.");
  return dispatch_float(type, [&]<class T>() -> Status {
    if (w.bits == 2) return start<T, 2>(rows, a, w, y, stream);
    return w.bits == 4 ? start<T, 4>(rows, a, w, y, stream) : start<T, 8>(rows, a, w, y, stream);
  });
}

}  // namespace halo::cuda
