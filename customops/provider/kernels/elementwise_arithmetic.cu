#include "provider/kernels/elementwise_arithmetic.cuh"

namespace halo::cuda {

#define HALO_INSTANTIATE(op) template Status arithmetic<op>(DType, const void*, const Dims&, const void*, const Dims&, void*, const Dims&, cudaStream_t)
HALO_INSTANTIATE(BinaryOp::kAdd);
HALO_INSTANTIATE(BinaryOp::kSub);
HALO_INSTANTIATE(BinaryOp::kMul);
HALO_INSTANTIATE(BinaryOp::kDiv);
#undef HALO_INSTANTIATE

}  // namespace halo::cuda
