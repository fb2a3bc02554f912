// The schema of an operator as text, the form in which C# has it too.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/dtype.h"

namespace halo {

/// `in` and `out` are "X: T, mask?: I"; `types` is "T: float, bfloat16; I: int64". A question mark makes a parameter optional; three dots, which only
/// the last input may have, let it be several, of which a binding sees the first.
struct Schema {
  const char* name;
  const char* in;
  const char* out;
  const char* types;
};

struct Parameter {
  std::string name;
  std::string type;  // a letter of Schema::types
  std::vector<DType> allowed;
  bool optional = false;
  bool variadic = false;
};

/// One side of a schema, read.
std::vector<Parameter> parameters(std::string_view side, std::string_view types);

}  // namespace halo
