#include "ops/collectives/collectives.h"

#include "common/dispatch.h"
#include "ops/collectives/combine.h"

namespace halo {

namespace {

template <class F, class T>
void combine(const T* parts, int64_t parts_count, int64_t count, T* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = combination::combined<F>(parts, parts_count, count, i);
}

}  // namespace

Status combine_cpu(DType type, Reduction reduction, const void* parts, int64_t parts_count, int64_t count, void* y) {
  return dispatch(CombinedTypes(), type, [&]<class T>() {
    const auto run = reduction == Reduction::kSum ? combine<combination::Sum, T> : combine<combination::Largest, T>;
    run(static_cast<const T*>(parts), parts_count, count, static_cast<T*>(y));
  });
}

}  // namespace halo
