#include "common/codes.h"
#include "ops/scaled_mat_mul/scaled_mat_mul.h"
#include "provider/kernels/rows.cuh"
#include "provider/products/lt_products.h"

namespace halo {

namespace {

constexpr int kThreads = 256;

/// Sizes of 8-bit products are multiples of this: what the matrix units' loads want.
constexpr int64_t kMultiple = 16;

/// Bytes along each side of a tile that is turned.
constexpr int kTile = 64;

int64_t padded(int64_t size) { return cuda::ceil_div(size, kMultiple) * kMultiple; }

int64_t aligned(int64_t bytes) { return cuda::ceil_div(bytes, 256) * 256; }

/// Codes (rows, k), or (k, rows) if `transposed`, as (padded rows, padded k) with zeros behind. A block has a tile of 64 x 64 bytes.
/// Reads and writes each byte once; bound by memory. grid: (k / 64, rows / 64).
__global__ void __launch_bounds__(kThreads)
    pack_codes_kernel(const uint8_t* codes, uint8_t* packed, int64_t rows, int64_t k, int64_t padded_rows, int64_t padded_k, bool transposed) {
  __shared__ uint8_t tile[kTile][kTile + 4];
  const int64_t k_at = static_cast<int64_t>(blockIdx.x) * kTile, row_at = static_cast<int64_t>(blockIdx.y) * kTile;
  // The axis that lies together in `codes` along the threads.
  const int64_t inner = transposed ? rows : k, outer = transposed ? k : rows, inner_at = transposed ? row_at : k_at, outer_at = transposed ? k_at : row_at;
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kTile; i += kThreads) {
    const int64_t o = outer_at + i / kTile, n = inner_at + i % kTile;
    tile[i / kTile][i % kTile] = o < outer && n < inner ? codes[o * inner + n] : uint8_t{0};
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kTile / 4; i += kThreads) {
    const int row = i / (kTile / 4), first = i % (kTile / 4) * 4;
    if (row_at + row >= padded_rows || k_at + first >= padded_k) continue;
    cuda::Pack<uint8_t, 4> four;
#pragma unroll
    for (int n = 0; n < 4; ++n) four.values[n] = transposed ? tile[first + n][row] : tile[row][first + n];
    *reinterpret_cast<cuda::Pack<uint8_t, 4>*>(packed + (row_at + row) * padded_k + k_at + first) = four;
  }
}

Status pack_codes(const uint8_t* codes, uint8_t* packed, int64_t rows, int64_t k, bool transposed, cudaStream_t stream) {
  const dim3 grid(cuda::grid_for(padded(k), kTile), cuda::grid_for(padded(rows), kTile));
  return cuda::launch(pack_codes_kernel, grid, kThreads, 0, stream, codes, packed, rows, k, padded(rows), padded(k), transposed);
}

/// y (m, n) = sums (.., width) * (scaleA * scaleB). A thread has one element.
template <class T>
__global__ void __launch_bounds__(kThreads)
    scale_sums_kernel(const T* sums, const float* scale_a, const float* scale_b, float* y, int64_t count, int64_t n, int64_t width) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  y[at] = static_cast<float>(sums[at / n * width + at % n]) * (*scale_a * *scale_b);
}

/// Codes as bfloat16, which holds each of them exactly. A thread has 8.
template <class Format>
__global__ void __launch_bounds__(kThreads) decode_kernel(const uint8_t* codes, BFloat16* values, int64_t count, bool is_packed) {
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * 8;
  if (at >= count) return;
  const int own = count - at < 8 ? static_cast<int>(count - at) : 8;
  uint8_t in[8];
  BFloat16 out[8];
  cuda::load_pack<8>(codes, at, 1, is_packed && own == 8, own, in);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = from_float<BFloat16>(i < own ? Format::decode(in[i]) : 0.0f);
  cuda::store_pack<8>(values + at, is_packed && own == 8, own, out);
}

Status decode(const QuantizedMatrix& matrix, BFloat16* values, int64_t count, cudaStream_t stream) {
  return dispatch_codes(matrix.type, [&]<class Format>() {
    return cuda::launch(decode_kernel<Format>, cuda::grid_for(count, 8 * kThreads), kThreads, 0, stream, matrix.codes, values, count,
                        cuda::is_aligned(matrix.codes, 8) && cuda::is_aligned(values, 16));
  });
}

/// Whether the operand is taken as it lies.
bool is_direct(const uint8_t* codes, bool k_is_inner, int64_t rows, int64_t k) {
  return k_is_inner && rows % kMultiple == 0 && k % kMultiple == 0 && cuda::is_aligned(codes, kMultiple);
}

}  // namespace

ScaledMatMulPath scaled_mat_mul_path(DType a, DType b) {
  if (a == DType::kInt8 && b == DType::kInt8) return ScaledMatMulPath::kInt8;
  const bool has_int8 = a == DType::kInt8 || b == DType::kInt8, both_e5m2 = a == DType::kFloat8E5M2 && b == DType::kFloat8E5M2;
  return has_int8 || both_e5m2 ? ScaledMatMulPath::kDecoded : ScaledMatMulPath::kFloat8;
}

int64_t scaled_mat_mul_workspace_cuda(DType type_a, DType type_b, int64_t m, int64_t n, int64_t k) {
  const int64_t products = cuda::LtProducts::kWorkspaceBytes;
  if (scaled_mat_mul_path(type_a, type_b) == ScaledMatMulPath::kDecoded) return products + aligned(2 * m * k) + aligned(2 * k * n);
  const bool needs_sums = scaled_mat_mul_path(type_a, type_b) == ScaledMatMulPath::kInt8 || m % kMultiple != 0 || n % kMultiple != 0;
  return products + aligned(padded(m) * padded(k)) + aligned(padded(n) * padded(k)) + (needs_sums ? aligned(4 * padded(m) * padded(n)) : 0);
}

Status scaled_mat_mul_cuda(cuda::LtProducts& products, const QuantizedMatrix& a, const QuantizedMatrix& b, float* y, bool trans_a, bool trans_b, int64_t m,
                           int64_t n, int64_t k, void* workspace, int64_t workspace_bytes, cudaStream_t stream) {
  if (m * n == 0) return {};
  const int64_t wanted = scaled_mat_mul_workspace_cuda(a.type, b.type, m, n, k);
  HALO_REQUIRE(workspace_bytes >= wanted, wanted << " bytes of workspace", workspace_bytes, "Ask scaled_mat_mul_workspace_cuda.");
  if (k == 0) return HALO_CUDA_STATUS(cudaMemsetAsync(y, 0, static_cast<size_t>(4 * m * n), stream));
  auto* rest = static_cast<uint8_t*>(workspace) + cuda::LtProducts::kWorkspaceBytes;
  const auto multiply = [&](const cuda::Product& product, const void* left, const void* right, void* out, const float* scale_a, const float* scale_b) {
    return products.multiply(product, left, right, out, scale_a, scale_b, workspace, cuda::LtProducts::kWorkspaceBytes, stream);
  };
  const auto scale = [&]<class T>(const T* sums, int64_t width) {
    return cuda::launch(scale_sums_kernel<T>, cuda::grid_for(m * n, kThreads), kThreads, 0, stream, sums, a.scale, b.scale, y, m * n, n, width);
  };
  const ScaledMatMulPath path = scaled_mat_mul_path(a.type, b.type);
  if (path == ScaledMatMulPath::kDecoded) {
    auto* left = reinterpret_cast<BFloat16*>(rest);
    auto* right = reinterpret_cast<BFloat16*>(rest + aligned(2 * m * k));
    HALO_RETURN_IF_ERROR(decode(a, left, m * k, stream));
    HALO_RETURN_IF_ERROR(decode(b, right, k * n, stream));
    const cuda::Product product{.type_a = DType::kBFloat16, .type_b = DType::kBFloat16, .trans_a = trans_a, .trans_b = trans_b, .m = m, .n = n, .k = k};
    HALO_RETURN_IF_ERROR(multiply(product, left, right, y, nullptr, nullptr));
    return scale(y, n);
  }
  uint8_t* packed_a = rest;
  uint8_t* packed_b = packed_a + aligned(padded(m) * padded(k));
  void* sums = packed_b + aligned(padded(n) * padded(k));
  const uint8_t *left = a.codes, *right = b.codes;
  if (!is_direct(left, !trans_a, m, k)) {
    HALO_RETURN_IF_ERROR(pack_codes(left, packed_a, m, k, trans_a, stream));
    left = packed_a;
  }
  if (!is_direct(right, trans_b, n, k)) {
    HALO_RETURN_IF_ERROR(pack_codes(right, packed_b, n, k, !trans_b, stream));
    right = packed_b;
  }
  cuda::Product product{.type_a = a.type, .type_b = b.type, .trans_a = false, .trans_b = true, .m = padded(m), .n = padded(n), .k = padded(k)};
  if (path == ScaledMatMulPath::kInt8) {
    product.type_y = DType::kInt32;
    HALO_RETURN_IF_ERROR(multiply(product, left, right, sums, nullptr, nullptr));
    return scale(static_cast<const int32_t*>(sums), padded(n));
  }
  const bool is_whole = padded(m) == m && padded(n) == n;
  HALO_RETURN_IF_ERROR(multiply(product, left, right, is_whole ? y : static_cast<float*>(sums), a.scale, b.scale));
  if (is_whole) return {};
  return HALO_CUDA_STATUS(cudaMemcpy2DAsync(y, static_cast<size_t>(4 * n), sums, static_cast<size_t>(4 * padded(n)), static_cast<size_t>(4 * n),
                                            static_cast<size_t>(m), cudaMemcpyDeviceToDevice, stream));
}

}  // namespace halo
