// Times of the CUDA kernels beside what a copy and bare products reach in the same run.
#pragma once

#include <functional>
#include <string>

#include "common/status.h"

namespace halo::cuda {

/// Times the kernels whose "kernel type" contains `part`. Calls `line` with an object of JSON at a time: versions first, then the ceilings (kernels whose name
/// begins with "ceiling: "), then a kernel each: "kernel", "type", "shape", "ms", and "gb_per_s" and "of_copy" or "tflop_per_s" and "of_products".
/// `line` says whether to go on. An error where there is no GPU, no cuBLASLt, not enough memory, or a kernel fails.
Status run_benchmarks(const std::string& part, const std::function<bool(const std::string&)>& line);

}  // namespace halo::cuda
