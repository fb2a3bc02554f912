// What the bindings of operators that round by chance have in common: the inputs step and seed, and the attribute tensor.
#pragma once

#include "common/rounding.h"
#include "ops/binding.h"

namespace halo {

/// The number of the tensor that is rounded, among those of the run; 0 where the node does not say.
inline int64_t chance_tensor(const Attributes& attributes) { return attributes.integer("tensor", 0); }

inline Status check_chance_tensor(int64_t tensor) {
  HALO_REQUIRE(tensor >= 0 && tensor < ChanceSource::kMostTensors, "a tensor from 0 to " << ChanceSource::kMostTensors - 1, tensor,
               "Number the tensors of the run.");
  return {};
}

/// `step`, `seed`: the inputs' places; those that are absent stay null.
template <class C>
ChanceSource chance_source(const C& c, int step, int seed, int64_t tensor) {
  return {.step = c.template data<int64_t>(step), .seed = c.template data<int64_t>(seed), .tensor = tensor};
}

}  // namespace halo
