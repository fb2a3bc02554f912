// Min, Max and Mod, beside the four of elementwise_arithmetic.cu: two files compile side by side.
#include "provider/kernels/elementwise_arithmetic.cuh"

namespace halo::cuda {

#define HALO_INSTANTIATE(op) template Status arithmetic<op>(DType, const void*, const Dims&, const void*, const Dims&, void*, const Dims&, cudaStream_t)
HALO_INSTANTIATE(BinaryOp::kMin);
HALO_INSTANTIATE(BinaryOp::kMax);
HALO_INSTANTIATE(BinaryOp::kMod);
HALO_INSTANTIATE(BinaryOp::kFMod);
#undef HALO_INSTANTIATE

}  // namespace halo::cuda
