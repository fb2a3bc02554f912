// What `halo doctor` and error messages say of CUDA.
#pragma once

#include <string>

namespace halo::cuda {

/// A line each: "what<TAB>found".
std::string report();

/// What went wrong since the last call, a line each: nodes left to others, memory that was missing.
std::string take_problems();

}  // namespace halo::cuda
