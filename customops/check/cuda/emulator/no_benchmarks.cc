#include <cstdio>

#include "check/cuda/bench.h"

namespace halo::check {

int run_benchmarks(const char*) {
  std::puts("kernels that are emulated have no times");
  return 1;
}

}  // namespace halo::check
