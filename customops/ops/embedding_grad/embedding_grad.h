// The gradient of a table of rows that were taken by number.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/executor.h"
#include "common/status.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// Rows `first` to `first` + `rows` - 1 of a table of `of` rows.
struct TableRows {
  int64_t first, rows, of;

  static constexpr TableRows all(int64_t rows) { return {.first = 0, .rows = rows, .of = rows}; }
};

/// dweight (table.rows, columns)[v] = the sum of dy (count, columns)[i] over ids[i] = table.first + v, in float32 in the order of i, rounded once. Reads dy
/// once; what goes to other rows of the table is left out. Refuses an id outside [-table.of, table.of); a negative one counts from the end.
template <class T, class R>
Status embedding_grad_cpu(const T* dy, const int64_t* ids, R* dweight, int64_t count, int64_t columns, TableRows table, const Executor& executor);

#ifdef HALO_CUDA
/// Bytes of workspace for embedding_grad_cuda.
int64_t embedding_grad_workspace_cuda(int64_t count, int64_t columns);

/// As embedding_grad_cpu, except that an id out of range makes the first element NaN and that the rows of an id are summed in pieces: those among 32
/// successive places of the sorted ids, then these sums in order. `type` is that of dy, `to` of dweight: float32 or the same. At most
/// 2^31 - 1 ids and 2^31 - 3 rows.
Status embedding_grad_cuda(DType type, DType to, const void* dy, const int64_t* ids, void* dweight, int64_t count, int64_t columns, TableRows table,
                           void* workspace, cudaStream_t stream);
#endif

}  // namespace halo
