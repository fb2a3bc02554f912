// Checks the CUDA kernels: halo-cuda-check [--reduced] [part of a name]. With --bench, times them instead and prints a line of JSON for each.
#include <cstdio>
#include <cstring>

#include "check/cuda/bench.h"
#include "check/cuda/device.h"

namespace halo::check {

namespace {

bool reduced = false;

}  // namespace

bool is_reduced() { return reduced; }

}  // namespace halo::check

int main(int argc, char** argv) {
  const char* part = "";
  bool is_bench = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--reduced") == 0) {
      halo::check::reduced = true;
    } else if (std::strcmp(argv[i], "--bench") == 0) {
      is_bench = true;
    } else {
      part = argv[i];
    }
  }
  if (is_bench) return halo::check::run_benchmarks(part);
  return halo::check::run_checks(part);
}
