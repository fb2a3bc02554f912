// The mean negative log-likelihood of labels under logits that are a product, with the gradients of both factors, rows of logits in chunks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/dtype.h"
#include "common/executor.h"
#include "common/products.h"
#include "common/status.h"

#ifdef HALO_CUDA
#include "provider/products/lt_products.h"
#endif

namespace halo {

struct LinearCrossEntropySizes {
  int64_t rows, width, classes;
  int64_t chunk;  // rows whose logits exist at a time
  int64_t ignored;
};

/// x, dx: (rows, width), w, dw: (classes, width), labels: (rows). With logits = x w^T, rounded to T:
///   loss = the mean of log_sum_exp - logit[label] over rows whose label is not `ignored`, as cross_entropy_cpu has it;
///   dlogits = (e^(logit - log_sum_exp) - onehot(label)) * dloss / (counted rows), rounded to T;
///   dx = dlogits w, dw = dlogits^T x, of which each chunk of rows adds its part in order, rounded to R (T or float) each time; none where dw is null.
/// `work` has room for linear_cross_entropy_work_cpu floats. Refuses a label that is neither `ignored` nor in [0, classes).
template <class T, class R>
Status linear_cross_entropy_cpu(const T* x, const T* w, const int64_t* labels, float dloss, float* loss, T* dx, R* dw, const LinearCrossEntropySizes& sizes,
                                float* work, const Executor& executor, const Products& products);

int64_t linear_cross_entropy_work_cpu(const LinearCrossEntropySizes& sizes);

#ifdef HALO_CUDA
/// Bytes of workspace for linear_cross_entropy_cuda: the logits of a chunk, a double a row, and what products take.
int64_t linear_cross_entropy_workspace_cuda(DType type, const LinearCrossEntropySizes& sizes);

/// The same with dloss on the device, except that a label that is neither `ignored` nor a class makes loss and gradients NaN. `to` is the type of dw: `type`
/// or float, and nothing where dw is null. A block has a row, reads its logits twice, the second time from L2, and writes the gradient over them. At most
/// 2^31 - 1 rows.
Status linear_cross_entropy_cuda(cuda::LtProducts& products, DType type, DType to, const void* x, const void* w, const int64_t* labels, const float* dloss,
                                 float* loss, void* dx, void* dw, const LinearCrossEntropySizes& sizes, void* workspace, cudaStream_t stream);
#endif

}  // namespace halo
