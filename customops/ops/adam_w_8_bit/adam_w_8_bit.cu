#include "ops/adam_w_8_bit/adam_w_8_bit.h"

#include "provider/kernels/absolute_max.cuh"
#include "provider/kernels/words.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256;

/// Neighbours of a thread, which share a block of random words; threads of a block of codes.
constexpr int kWidth = 8, kLanes = static_cast<int>(kCodeBlock) / kWidth;
static_assert(kThreads % kLanes == 0 && cuda::kWarp % kLanes == 0, "a block of codes lies in one warp");

/// The largest of the kLanes neighbours of a lane.
__device__ uint32_t over_lanes(uint32_t value) {
#pragma unroll
  for (int mask = kLanes / 2; mask > 0; mask /= 2) value = cuda::LargerOf()(value, __shfl_xor_sync(cuda::kAllLanes, value, mask));
  return value;
}

/// A thread has kWidth neighbours of each tensor, kLanes of them a block of codes. 10 to 16 bytes an element; bound by memory, and nearly by instructions.
template <class T, class G>
__global__ void __launch_bounds__(kThreads) adam_w_8_bit_kernel(AdamW8BitTensors<T, G> t, AdamWStep step, AdamWFactors factors, int64_t count, bool is_packed) {
  const int64_t pack = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, at = pack * kWidth, block = pack / kLanes;
  const int length = count - at < kWidth ? static_cast<int>(count - at < 0 ? 0 : count - at) : kWidth;  // 0 behind the end: lanes stay for their neighbours
  const bool is_whole = is_packed && length == kWidth;
  cuda::Words<T, kWidth> p;
  cuda::Words<G, kWidth> gradient;
  uint8_t m_codes[kWidth] = {}, v_codes[kWidth] = {};
  float m_scale = 0, v_scale = 0;
  if (length > 0) {
    p.load(t.p + at, is_whole, length);
    gradient.load(t.gradient + at, is_whole, length);
    cuda::load_pack<kWidth>(t.m.codes, at, 1, is_whole, length, m_codes);
    cuda::load_pack<kWidth>(t.v.codes, at, 1, is_whole, length, v_codes);
    m_scale = t.m.scales[block];
    v_scale = t.v.scales[block];
  }
  const AdamW8BitUpdate update(factors, step);
  const PhiloxBlock random = update.stream.block(static_cast<uint64_t>(pack));
  float m[kWidth] = {}, root[kWidth] = {};
  uint32_t m_largest = 0, v_largest = 0;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    if (i >= length) continue;
    T number = p.get(i);
    update(number, gradient.number(i), m_codes[i], m_scale, v_codes[i], v_scale, m[i], root[i], random, i);
    p.set(i, number);
    m_largest = cuda::LargerOf()(m_largest, cuda::magnitude_of(m[i]));
    v_largest = cuda::LargerOf()(v_largest, cuda::magnitude_of(root[i]));
  }
  const auto m_by = MomentScale::of(over_lanes(m_largest)), v_by = MomentScale::of(over_lanes(v_largest));
  if (length == 0) return;
  if (pack % kLanes == 0) {  // behind the shuffles, by which all lanes have read the old ones
    t.m.new_scales[block] = m_by.scale;
    t.v.new_scales[block] = v_by.scale;
  }
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    m_codes[i] = i < length ? AdamW8BitUpdate::m_code(m[i], m_by, random, i) : uint8_t{0};
    v_codes[i] = i < length ? AdamW8BitUpdate::v_code(root[i], v_by, random, i) : uint8_t{0};
  }
  p.store(t.new_p + at, is_whole, length);
  cuda::store_pack<kWidth>(t.m.new_codes + at, is_whole, length, m_codes);
  cuda::store_pack<kWidth>(t.v.new_codes + at, is_whole, length, v_codes);
}

}  // namespace

template <class T, class G>
Status adam_w_8_bit_cuda(const AdamW8BitTensors<T, G>& t, const AdamWStep& step, const AdamWFactors& factors, int64_t count, cudaStream_t stream) {
  bool is_packed = cuda::is_aligned(t.gradient, 16) && cuda::is_aligned(t.p, 16) && cuda::is_aligned(t.new_p, 16);
  const CodedMoment moments[] = {t.m, t.v};  // named: nvcc 13.0 writes a list in place wrongly
  for (const CodedMoment& moment : moments) is_packed = is_packed && cuda::is_aligned(moment.codes, kWidth) && cuda::is_aligned(moment.new_codes, kWidth);
  const int64_t whole = code_blocks(count) * kCodeBlock;  // lanes of the last block, too
  return cuda::launch(adam_w_8_bit_kernel<T, G>, cuda::grid_for(whole, kThreads * kWidth), kThreads, 0, stream, t, step, factors, count, is_packed);
}

template Status adam_w_8_bit_cuda(const AdamW8BitTensors<float, float>&, const AdamWStep&, const AdamWFactors&, int64_t, cudaStream_t);
template Status adam_w_8_bit_cuda(const AdamW8BitTensors<BFloat16, float>&, const AdamWStep&, const AdamWFactors&, int64_t, cudaStream_t);
template Status adam_w_8_bit_cuda(const AdamW8BitTensors<BFloat16, BFloat16>&, const AdamWStep&, const AdamWFactors&, int64_t, cudaStream_t);

}  // namespace halo
