// Times of the CUDA kernels.
#pragma once

namespace halo::check {

/// Times the kernels whose names contain `part`: a line of JSON for each, with the rate and its share of what a copy or a product reaches in the same run.
int run_benchmarks(const char* part);

}  // namespace halo::check
