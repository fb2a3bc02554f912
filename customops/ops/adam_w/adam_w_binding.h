// What the bindings of AdamW, with moments as numbers and in 8 bits, have in common.
#pragma once

#include "ops/adam_w/adam_w.h"
#include "ops/rounding_binding.h"

namespace halo {

inline AdamWFactors adam_w_factors(const Attributes& attributes) {
  return {.beta1 = attributes.real("beta1", 0),
          .rest1 = attributes.real("rest1", 0),
          .beta2 = attributes.real("beta2", 0),
          .rest2 = attributes.real("rest2", 0),
          .epsilon = attributes.real("epsilon", 0)};
}

/// f<T, G>() of the types of the parameter, which is input 0, and of its gradient, input 1.
template <class C, class F>
Status dispatch_adam_w(const C& c, F&& f) {
  if (c.in(0).type == DType::kFloat) return f.template operator()<float, float>();
  return c.in(1).type == DType::kFloat ? f.template operator()<BFloat16, float>() : f.template operator()<BFloat16, BFloat16>();
}

/// The inputs factor, step_size and root2, which follow one another from `factor` on, and keep.
template <class C>
AdamWStep adam_w_step(const C& c, int factor, int keep, const ChanceSource& chance) {
  return {.factor = c.template data<float>(factor),
          .step_size = c.template data<float>(factor + 1),
          .root2 = c.template data<float>(factor + 2),
          .keep = c.template data<float>(keep),
          .chance = chance};
}

}  // namespace halo
