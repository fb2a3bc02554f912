// What `halo doctor` and error messages say of CUDA.
#pragma once

#include <string>

namespace halo::cuda {

/// A line each: "what<TAB>found".
std::string report();

/// What went wrong since the last call, a line each: "memory<TAB>wanted<TAB>in use<TAB>free<TAB>total" in bytes, "node<TAB>what was left to others and why".
std::string take_problems();

/// Memory of each GPU that was used, a line each: "ordinal<TAB>in use<TAB>peak<TAB>reserved<TAB>total" in bytes; peak is since the last call.
std::string take_memory();

/// Whose kernels ran attention since the last call, a line each: "cudnn<TAB>nodes<TAB>version", "halo<TAB>nodes<TAB>why".
std::string take_attention();

/// Runs of each GPU since the last call, a line each: "ordinal<TAB>replayed<TAB>launched node by node<TAB>1 where nothing is recorded, else 0".
std::string take_recordings();

}  // namespace halo::cuda
