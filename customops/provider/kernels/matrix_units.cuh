// Matrix units by their warp-wide instructions: 16 x 8 += 16 x 16 * 16 x 8 in bfloat16 or float16 with float32 sums. [PTX ISA, mma.m16n8k16, ldmatrix]
// A lane is (lane_row, quad_lane) = (lane / 4, lane % 4), in 0..7 and 0..3. It holds of C: rows lane_row and lane_row + 8 at columns 2 quad_lane and
// 2 quad_lane + 1.
#pragma once

#include "provider/kernels/device.cuh"

namespace halo::cuda {

/// Four matrices of 8 x 8 16-bit elements from shared memory: lane 8 i + r gives the address of row r of matrix i, and gets of each matrix its row
/// lane_row at columns 2 quad_lane and 2 quad_lane + 1, or, transposed, its column lane_row at those rows.
template <bool transposed>
__device__ void load_matrices(const void* row, uint32_t (&registers)[4]) {
#ifdef HALO_CUDA_EMULATED
  emulator::load_matrices(row, transposed, registers);
#else
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(address)
                 : "memory");
  }
#endif
}

/// c += a b; a holds rows lane_row, lane_row + 8 at columns 2 quad_lane.., then the same at columns 8 on; b0 and b1 hold column lane_row at rows
/// 2 quad_lane.. and 8 on.
template <class T>
__device__ void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#ifdef HALO_CUDA_EMULATED
  emulator::multiply_add<T>(c, a, b0, b1);
#else
  if constexpr (std::is_same_v<T, BFloat16>) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
#endif
}

/// c = a b, with operands as multiply_add has them.
template <class T>
__device__ void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#ifdef HALO_CUDA_EMULATED
  for (float& sum : c) sum = 0.0f;
  emulator::multiply_add<T>(c, a, b0, b1);
#else
  if constexpr (std::is_same_v<T, BFloat16>) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %10, %10, %10};"
                 : "=f"(c[0]), "=f"(c[1]), "=f"(c[2]), "=f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(0.0f));
  } else {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %10, %10, %10};"
                 : "=f"(c[0]), "=f"(c[1]), "=f"(c[2]), "=f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(0.0f));
  }
#endif
}

/// 16 bytes from global to shared memory, or zeros, by the time of wait_for_copies(). Both 16-byte aligned.
__device__ inline void copy_async(void* to, const void* from, bool is_inside) {
#ifdef HALO_CUDA_EMULATED
  emulator::copy_16(to, from, is_inside);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(to))), "l"(from), "r"(is_inside ? 16 : 0)
               : "memory");
#endif
}

/// The same, of rows that are shorter than a line of the L2 cache, 128 bytes: asks for the whole line, the rest of which other blocks copy.
__device__ inline void copy_async_of_line(void* to, const void* from, bool is_inside) {
#ifdef HALO_CUDA_EMULATED
  emulator::copy_16(to, from, is_inside);
#else
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;"
               :
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(to))), "l"(from), "r"(is_inside ? 16 : 0)
               : "memory");
#endif
}

/// Ends a group of copies.
__device__ inline void commit_copies() {
#ifndef HALO_CUDA_EMULATED
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until all of this thread's groups of copies but the last `pending` are there; a barrier makes them known to others.
template <int pending>
__device__ void wait_for_copies() {
#ifndef HALO_CUDA_EMULATED
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#endif
}

/// 2^x within 2 units in the last place; results below 2^-126 are 0.
__device__ inline float exp2_of(float x) {
#ifdef HALO_CUDA_EMULATED
  return exp2f(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

/// Two numbers in one register, the first in its low half: from_float of both, by one instruction.
template <class T>
__device__ uint32_t packed_pair(float low, float high) {
#ifdef HALO_CUDA_EMULATED
  return static_cast<uint32_t>(from_float<T>(low).bits) | (static_cast<uint32_t>(from_float<T>(high).bits) << 16);
#else
  uint32_t pair;
  if constexpr (std::is_same_v<T, BFloat16>) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  }
  return pair;
#endif
}

/// A at rows row.. and columns k.. of a matrix stored by rows, `pitch` elements apart.
template <class T>
__device__ void load_a(const T* matrix, int pitch, int row, int k, uint32_t (&a)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  load_matrices<false>(matrix + (row + lane % 16) * pitch + k + lane / 16 * 8, a);
}

/// B of two neighbouring column tiles n.. and n + 8.. where its columns are stored as rows: (b0, b1) of each.
template <class T>
__device__ void load_b_by_columns(const T* matrix, int pitch, int n, int k, uint32_t (&b)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  load_matrices<false>(matrix + (n + lane / 16 * 8 + lane % 8) * pitch + k + lane / 8 % 2 * 8, b);
}

/// The same where B is stored by rows.
template <class T>
__device__ void load_b_by_rows(const T* matrix, int pitch, int k, int n, uint32_t (&b)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  load_matrices<true>(matrix + (k + lane % 16) * pitch + n + lane / 16 * 8, b);
}

}  // namespace halo::cuda
