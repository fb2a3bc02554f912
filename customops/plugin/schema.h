// The schema of an operator as text, the form in which C# has it too.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/dtype.h"

namespace halo {

/// `in` and `out` are "X: T, mask?: I"; `types` is "T: float, bfloat16; I: int64". A question mark makes a parameter optional; three dots, which only
/// the last input may have, let it be several, of which a binding sees the first, and with a question mark behind them none.
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

/// A schema with both sides read.
struct ReadSchema {
  explicit ReadSchema(const Schema& schema) : name(schema.name), in(parameters(schema.in, schema.types)), out(parameters(schema.out, schema.types)) {}

  const char* name;
  std::vector<Parameter> in, out;
};

/// The schema of an operator, read once a process.
template <class T>
const ReadSchema& schema_of() {
  static const ReadSchema read(T::schema);
  return read;
}

/// Parameters of one side, for arrays that hold what is known of each.
constexpr size_t parameters_count(const char* side) {
  size_t count = *side == '\0' ? 0 : 1;
  for (; *side != '\0'; ++side) count += *side == ',' ? 1 : 0;
  return count;
}

}  // namespace halo
