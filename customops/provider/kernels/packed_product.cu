#include "provider/kernels/packed_product.h"

#include <algorithm>

#include "provider/kernels/packed_tiles.cuh"

namespace halo::cuda {

namespace {

/// A block fills a multiprocessor: A is made ready once there, and sixteen warps with kStages loads of 1 KiB each keep memory busy.
constexpr int kWarps = 16, kThreads = kWarps * kWarp, kStages = 4;

/// Adds to a lane's sums what its units give. A fills a column of B for each unit of the quad and each of its two parts, all else in them 0: the columns 2 q
/// and 2 q + 1 of the product, which lane q of a quad gets, are sums of that lane's unit alone, and so have its scale.
template <class T, int bits, int rows>
__device__ __forceinline__ void add_units(float (&sums)[kHalves][rows], const Stage<T>& stage, const Products<T>& p, const PackedInputs<bits>& inputs, int step,
                                          int lane) {
  using Unit = CodeUnit<bits>;
  const int quad_lane = lane % kQuad, column = lane / kQuad, unit = step * kQuad + quad_lane, block = p.block_of(p.unit_of(step, quad_lane));
  const bool has_column = column / 2 == quad_lane;
  const Zero zeros[kHalves] = {zero_of<bits>(p.zeros, stage.zeros[0], block), zero_of<bits>(p.zeros, stage.zeros[1], block)};
  float products[rows][4] = {};
  Pack<uint32_t, 4> x[rows] = {};
#pragma unroll
  for (int product = 0; product < Unit::kProducts; ++product) {
    const int first = 2 * product;
    const uint32_t w[4] = {pair_of<bits>(stage.codes[0], first, zeros[0].base), pair_of<bits>(stage.codes[1], first, zeros[1].base),
                           pair_of<bits>(stage.codes[0], first + 1, zeros[0].base), pair_of<bits>(stage.codes[1], first + 1, zeros[1].base)};
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      if (product % 2 == 0 && has_column) x[r] = *inputs.at(r, unit, product / 2, column % 2);
      multiply_add<Float16>(products[r], w, x[r].values[product % 2 * 2], x[r].values[product % 2 * 2 + 1]);
    }
  }
#pragma unroll
  for (int r = 0; r < rows; ++r) {
    const UnitFacts facts = *inputs.facts_of(r, unit);
#pragma unroll
    for (int h = 0; h < kHalves; ++h) {
      float sum = (products[r][2 * h] + products[r][2 * h + 1]) * facts.values[0];
      if (p.zeros == Zeros::kNumbers) sum -= zeros[h].rest * facts.values[1];
      sums[h][r] += to_float(stage.scales[h]) * sum;
    }
  }
}

template <class T>
__device__ float biased(float sum, const T* bias, int n) {
  return bias == nullptr ? sum : sum + to_float(bias[n]);
}

/// Stores what the rows `row` and kHalf + `row` of a tile give with row r of A.
template <class T>
__device__ __forceinline__ void store(const Products<T>& p, T* y, int tile, int row, int r, float low, float high) {
  if (tile >= p.tiles) return;
  T* out = y + r * p.columns;
  if (p.is_gated) {
    const int n = tile * kHalf + row;
    if (n >= p.matrices[0].n) return;
    const float gate = biased(low, p.matrices[0].bias, n);
    out[n] = from_float<T>(gate / (1.0f + expf(-gate)) * biased(high, p.matrices[1].bias, n));
    return;
  }
  const Matrix<T> m = p.matrix_of(tile);
  const int n = (tile - m.first_tile) * kTile + row;
  if (n < m.n) out[m.first_column + n] = from_float<T>(biased(low, m.bias, n));
  if (n + kHalf < m.n) out[m.first_column + n + kHalf] = from_float<T>(biased(high, m.bias, n + kHalf));
}

/// Sums of a tile over the lanes of a quad, then over the warps that share the tile, in their order. All threads call it.
template <int rows, class F>
__device__ __forceinline__ void sum_tiles(const float (&sums)[kHalves][rows], float* scratch, int group_warps, F give) {
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, row = thread % kWarp / kQuad;
  float own[kHalves][rows];
#pragma unroll
  for (int i = 0; i < kHalves * rows; ++i) {
    own[i / rows][i % rows] = sums[i / rows][i % rows];
    for (int mask = 1; mask < kQuad; mask *= 2) own[i / rows][i % rows] += __shfl_xor_sync(kAllLanes, own[i / rows][i % rows], mask);
  }
#pragma unroll
  for (int r = 0; r < rows; ++r) {
    if (thread % kQuad != 0) continue;
    if (group_warps == 1) give(warp, row, r, own[0][r], own[1][r]);
#pragma unroll
    for (int h = 0; h < kHalves; ++h) scratch[((warp * kHalves + h) * rows + r) * kHalf + row] = own[h][r];
  }
  if (group_warps == 1) return;
  __syncthreads();
  for (int i = thread; i < kWarps / group_warps * rows * kHalf; i += kThreads) {
    const int group = i / (rows * kHalf), place = i % (rows * kHalf);
    float both[kHalves] = {};
    for (int w = group * group_warps; w < (group + 1) * group_warps; ++w) {
      for (int h = 0; h < kHalves; ++h) both[h] += scratch[(w * kHalves + h) * rows * kHalf + place];
    }
    give(group, place % kHalf, place / kHalf, both[0], both[1]);
  }
}

/// `group_warps` warps share a tile, each every group_warps-th step of its rows; a block goes on to tiles as many as it has groups times the grid away, the
/// loads of them on their way before this one's sums are done, and those of the first before A is ready.
template <class T, int bits, int rows>
__global__ void __launch_bounds__(kThreads, 1) packed_product_kernel(const T* a, Products<T> p, T* y, int64_t k_count, bool is_aligned, int group_warps) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int groups = kWarps / group_warps, group = warp / group_warps, first_step = warp % group_warps;
  const int count = (p.steps + group_warps - 1) / group_warps, tile_step = static_cast<int>(gridDim.x) * groups;  // steps of a warp
  auto* memory = dynamic_shared<unsigned char>();
  const PackedInputs<bits> inputs(memory, rows, p.steps);
  auto* scratch = reinterpret_cast<float*>(memory + PackedInputs<bits>::bytes(rows, p.steps));

  struct Cursor {
    int tile, step, done = 0;  // the block's first tile
  };
  Cursor ahead{static_cast<int>(blockIdx.x) * groups, first_step}, at = ahead;
  Rows<T> from(p, ahead.tile + group, lane / kQuad);
  const auto advance = [&](Cursor* cursor) {
    cursor->step += group_warps;
    if (++cursor->done < count) return false;
    *cursor = {cursor->tile + tile_step, first_step};
    return true;
  };
  const auto load_next = [&](Stage<T>* stage) {
    if (ahead.tile + group < p.tiles && ahead.step < p.steps) load<T, bits>(stage, p, from, p.unit_of(ahead.step, lane % kQuad));
    if (advance(&ahead)) from = Rows<T>(p, ahead.tile + group, lane / kQuad);
  };
  Stage<T> stages[kStages] = {};
#pragma unroll
  for (int s = 0; s < kStages; ++s) load_next(&stages[s]);
  place_inputs(inputs, a, rows, k_count, is_aligned, p.zeros == Zeros::kNumbers);
  __syncthreads();

  float sums[kHalves][rows] = {};
  int buffer = 0;
  while (at.tile < p.tiles) {
#pragma unroll
    for (int s = 0; s < kStages; ++s) {
      const Stage<T> stage = stages[s];
      load_next(&stages[s]);
      const int tile = at.tile;
      if (tile + group < p.tiles && at.step < p.steps) add_units<T, bits, rows>(sums, stage, p, inputs, at.step, lane);
      if (advance(&at) && tile < p.tiles) {
        sum_tiles(sums, scratch + buffer * kWarps * kTile * rows, group_warps,
                  [&](int of_block, int row, int r, float low, float high) { store(p, y, tile + of_block, row, r, low, high); });
        buffer ^= 1;  // what the last sums are read from while these are written
#pragma unroll
        for (int i = 0; i < kHalves * rows; ++i) sums[i / rows][i % rows] = 0;
      }
    }
  }
}

int64_t units_of(const PackedMatrices& w) { return w.weights(0).blocks() * (w.block * w.bits / 8 / kUnitBytes); }

template <class F>
auto with_bits(int64_t bits, F&& f) {
  return bits == 2 ? f.template operator()<2>() : bits == 4 ? f.template operator()<4>() : f.template operator()<8>();
}

int64_t shared_bytes(int64_t rows, const PackedMatrices& w) {
  const int64_t steps = ceil_div(units_of(w), kQuad), sums = 2 * kWarps * kTile * rows * static_cast<int64_t>(sizeof(float));
  return sums + with_bits(w.bits, [&]<int bits>() { return PackedInputs<bits>::bytes(rows, steps); });
}

/// Enough that all warps of the GPU have a tile or a part of one.
int warps_of_tile(int64_t tiles, int64_t steps) {
  int warps = 1;
  while (warps < kWarps && warps < steps && tiles * warps < int64_t{kWarps} * multiprocessors()) warps *= 2;
  return warps;
}

template <class T>
Products<T> products_of(const PackedMatrices& w) {
  const int64_t blocks = w.weights(0).blocks(), units = units_of(w);
  const Zeros zeros = w.zero_type == DType::kUndefined ? Zeros::kNone : w.zero_type == DType::kUInt8 ? Zeros::kCodes : Zeros::kNumbers;
  Products<T> p{.matrices = {},
                .count = w.count,
                .tiles = 0,
                .steps = static_cast<int>(ceil_div(units, kQuad)),
                .units = static_cast<int>(units),
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
        m.codes, static_cast<const T*>(m.scales), static_cast<const uint8_t*>(m.zeros), static_cast<const T*>(m.bias), static_cast<int>(m.n), p.tiles, column};
    if (!w.is_gated || i == 0) p.tiles += static_cast<int>(ceil_div(m.n, w.is_gated ? kHalf : kTile));
    column += static_cast<int>(m.n);
  }
  return p;
}

template <class T, int bits, int rows>
Status start(const void* a, const PackedMatrices& w, void* y, cudaStream_t stream) {
  const int64_t bytes = shared_bytes(rows, w);
  HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(packed_product_kernel<T, bits, rows>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
  const Products<T> p = products_of<T>(w);
  const int group_warps = warps_of_tile(p.tiles, p.steps);
  const bool is_aligned = cuda::is_aligned(a, 16) && w.k * static_cast<int64_t>(sizeof(T)) % 16 == 0;
  const int64_t blocks = std::min<int64_t>(ceil_div(p.tiles, kWarps / group_warps), multiprocessors());
  return launch(packed_product_kernel<T, bits, rows>, static_cast<unsigned>(blocks), kThreads, static_cast<size_t>(bytes), stream, static_cast<const T*>(a), p,
                static_cast<T*>(y), w.k, is_aligned, group_warps);
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
  return dispatch_float(type, [&]<class T>() -> Status { return with_bits(w.bits, [&]<int bits>() { return start<T, bits>(rows, a, w, y, stream); }); });
}

}  // namespace halo::cuda
