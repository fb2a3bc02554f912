#include "common/codes.h"
#include "ops/scaled_mat_mul/scaled_mat_mul.h"
#include "provider/kernels/rows.cuh"
#include "provider/products/lt_products.h"

namespace halo {

namespace {

constexpr int kThreads = 256;

/// Sizes of 8-bit products are multiples of this: what the matrix units' loads want.
constexpr int64_t kMultiple = 16;

/// Sums that a thread scales.
constexpr int kSums = 4;

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

/// y (m, n) = sums (.., width) * (scaleA * scaleB) + addend (m, n); null is a scale of 1, and an addend of 0. A thread has 4 elements of a row.
template <class T, class R>
__global__ void __launch_bounds__(kThreads) scale_sums_kernel(const T* sums, const float* scale_a, const float* scale_b, const R* addend, R* y, int64_t packs,
                                                              cuda::Divider packs_of_row, int64_t n, int64_t width, bool is_packed) {
  const int64_t pack = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (pack >= packs) return;
  const int64_t row = packs_of_row.quotient(static_cast<uint32_t>(pack)), at = (pack - row * packs_of_row.divisor) * kSums;
  const int length = n - at < kSums ? static_cast<int>(n - at) : kSums;  // sums of the pack, 1 to kSums
  const bool is_whole = is_packed && length == kSums;
  const float scale = scale_a != nullptr ? *scale_a * *scale_b : 1.0f;
  T values[kSums];
  R results[kSums], added[kSums];
  cuda::load_pack<kSums>(sums, row * width + at, 1, is_whole, length, values);
  if (addend != nullptr) cuda::load_pack<kSums>(addend, row * n + at, 1, is_whole, length, added);
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    float value = i < length ? static_cast<float>(values[i]) * scale : 0.0f;
    if (addend != nullptr && i < length) value += to_float(added[i]);
    results[i] = cuda::narrowed<R>(value);
  }
  cuda::store_pack<kSums>(y + row * n + at, is_whole, length, results);
}

template <class T>
Status scale_sums(const T* sums, const float* scale_a, const float* scale_b, const void* addend, DType to, void* y, int64_t m, int64_t n, int64_t width,
                  cudaStream_t stream) {
  return cuda::dispatch_float(to, [&]<class R>() {
    const int64_t packs_of_row = cuda::ceil_div(n, kSums), packs = m * packs_of_row;
    HALO_REQUIRE(packs <= INT32_MAX, "at most " << INT32_MAX << " packs of sums", packs, "Take a smaller micro-batch.");
    const bool is_packed = n % kSums == 0 && width % kSums == 0 && cuda::is_aligned(sums, 16) && cuda::is_aligned(y, kSums * sizeof(R)) &&
                           cuda::is_aligned(addend, kSums * sizeof(R));
    return cuda::launch(scale_sums_kernel<T, R>, cuda::grid_for(packs, kThreads), kThreads, 0, stream, sums, scale_a, scale_b, static_cast<const R*>(addend),
                        static_cast<R*>(y), packs, cuda::Divider(packs_of_row), n, width, is_packed);
  });
}

/// Codes as bfloat16, which holds each of them exactly. A thread has 8.
template <class Format>
__global__ void __launch_bounds__(kThreads) decode_kernel(const uint8_t* codes, BFloat16* values, int64_t count, bool is_packed) {
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * 8;
  if (at >= count) return;
  const int length = count - at < 8 ? static_cast<int>(count - at) : 8;  // codes of the pack, 1 to 8
  uint8_t in[8];
  BFloat16 out[8];
  cuda::load_pack<8>(codes, at, 1, is_packed && length == 8, length, in);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = from_float<BFloat16>(i < length ? Format::decode(in[i]) : 0.0f);
  cuda::store_pack<8>(values + at, is_packed && length == 8, length, out);
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

/// What the operand takes of the workspace.
int64_t packed_bytes(const uint8_t* codes, bool k_is_inner, int64_t rows, int64_t k) {
  return is_direct(codes, k_is_inner, rows, k) ? 0 : aligned(padded(rows) * padded(k));
}

}  // namespace

ScaledMatMulPath scaled_mat_mul_path(DType a, DType b) {
  if (a == DType::kInt8 && b == DType::kInt8) return ScaledMatMulPath::kInt8;
  const bool has_int8 = a == DType::kInt8 || b == DType::kInt8, both_e5m2 = a == DType::kFloat8E5M2 && b == DType::kFloat8E5M2;
  return has_int8 || both_e5m2 ? ScaledMatMulPath::kDecoded : ScaledMatMulPath::kFloat8;
}

namespace {

/// Whether products are written as they are, and not summed in work memory first.
bool is_whole(ScaledMatMulPath path, DType to, int64_t m, int64_t n) {
  if (path == ScaledMatMulPath::kDecoded) return to == DType::kFloat;
  return path == ScaledMatMulPath::kFloat8 && m % kMultiple == 0 && n % kMultiple == 0 && to != DType::kFloat16;
}

}  // namespace

int64_t scaled_mat_mul_workspace_cuda(const QuantizedMatrix& a, const QuantizedMatrix& b, DType to, bool trans_a, bool trans_b, int64_t m, int64_t n,
                                      int64_t k) {
  const ScaledMatMulPath path = scaled_mat_mul_path(a.type, b.type);
  const int64_t products = cuda::LtProducts::kWorkspaceBytes, sums = is_whole(path, to, m, n) ? 0 : aligned(4 * padded(m) * padded(n));
  if (path == ScaledMatMulPath::kDecoded) return products + aligned(2 * m * k) + aligned(2 * k * n) + sums;
  return products + packed_bytes(a.codes, !trans_a, m, k) + packed_bytes(b.codes, trans_b, n, k) + sums;
}

Status scaled_mat_mul_cuda(cuda::LtProducts& products, const QuantizedMatrix& a, const QuantizedMatrix& b, DType to, void* y, bool trans_a, bool trans_b,
                           int64_t m, int64_t n, int64_t k, void* workspace, int64_t workspace_bytes, cudaStream_t stream, const void* addend) {
  if (m * n == 0) return {};
  const int64_t wanted = scaled_mat_mul_workspace_cuda(a, b, to, trans_a, trans_b, m, n, k);
  HALO_REQUIRE(workspace_bytes >= wanted, wanted << " bytes of workspace", workspace_bytes, "Ask scaled_mat_mul_workspace_cuda.");
  if (k == 0 && addend == nullptr) return HALO_CUDA_STATUS(cudaMemsetAsync(y, 0, static_cast<size_t>(size_of(to) * m * n), stream));
  if (k == 0) return HALO_CUDA_STATUS(cudaMemcpyAsync(y, addend, static_cast<size_t>(size_of(to) * m * n), cudaMemcpyDeviceToDevice, stream));
  auto* rest = static_cast<uint8_t*>(workspace) + cuda::LtProducts::kWorkspaceBytes;
  const auto multiply = [&](const cuda::Product& product, const void* left, const void* right, void* out, const float* scale_a, const float* scale_b,
                            const void* added = nullptr) {
    return products.multiply(product, left, right, out, scale_a, scale_b, workspace, cuda::LtProducts::kWorkspaceBytes, stream, added);
  };
  const ScaledMatMulPath path = scaled_mat_mul_path(a.type, b.type);
  const bool whole = is_whole(path, to, m, n);
  if (path == ScaledMatMulPath::kDecoded) {
    auto* left = reinterpret_cast<BFloat16*>(rest);
    auto* right = reinterpret_cast<BFloat16*>(rest + aligned(2 * m * k));
    auto* sums = whole ? static_cast<float*>(y) : reinterpret_cast<float*>(rest + aligned(2 * m * k) + aligned(2 * k * n));
    HALO_RETURN_IF_ERROR(decode(a, left, m * k, stream));
    HALO_RETURN_IF_ERROR(decode(b, right, k * n, stream));
    const cuda::Product product{.type_a = DType::kBFloat16, .type_b = DType::kBFloat16, .trans_a = trans_a, .trans_b = trans_b, .m = m, .n = n, .k = k};
    HALO_RETURN_IF_ERROR(multiply(product, left, right, sums, nullptr, nullptr));
    return scale_sums(static_cast<const float*>(sums), a.scale, b.scale, addend, to, y, m, n, n, stream);
  }
  uint8_t* packed_a = rest;
  uint8_t* packed_b = packed_a + packed_bytes(a.codes, !trans_a, m, k);
  void* sums = packed_b + packed_bytes(b.codes, trans_b, n, k);
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
    return scale_sums(static_cast<const int32_t*>(sums), a.scale, b.scale, addend, to, y, m, n, padded(n), stream);
  }
  if (whole) product.type_y = to;
  if (whole && addend != nullptr) product.beta = 1.0f;
  HALO_RETURN_IF_ERROR(multiply(product, left, right, whole ? y : sums, a.scale, b.scale, whole ? addend : nullptr));
  return whole ? Status() : scale_sums(static_cast<const float*>(sums), nullptr, nullptr, addend, to, y, m, n, padded(n), stream);
}

}  // namespace halo
