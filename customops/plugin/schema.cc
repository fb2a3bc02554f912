#include "plugin/schema.h"

#include <stdexcept>

namespace halo {

namespace {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    std::string_view part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    parts.emplace_back(part);
  }
  return parts;
}

DType type_named(const std::string& name) {
  for (const DType type :
       {DType::kFloat, DType::kInt8, DType::kUInt8, DType::kInt32, DType::kInt64, DType::kFloat16, DType::kBFloat16, DType::kFloat8E4M3, DType::kFloat8E5M2}) {
    if (name == name_of(type)) return type;
  }
  throw std::logic_error("schema: unknown type " + name);
}

std::vector<DType> allowed_types(const std::string& letter, std::string_view types) {
  for (const std::string& entry : split(types, ';')) {
    const auto sides = split(entry, ':');
    if (sides.at(0) != letter) continue;
    std::vector<DType> allowed;
    for (const std::string& name : split(sides.at(1), ',')) allowed.push_back(type_named(name));
    return allowed;
  }
  return {type_named(letter)};
}

}  // namespace

std::vector<Parameter> parameters(std::string_view side, std::string_view types) {
  std::vector<Parameter> result;
  for (const std::string& text : split(side, ',')) {
    const auto sides = split(text, ':');
    Parameter parameter{.name = sides.at(0), .type = sides.at(1), .allowed = allowed_types(sides.at(1), types)};
    if (parameter.name.back() == '?') {
      parameter.name.pop_back();
      parameter.optional = true;
    }
    if (parameter.name.ends_with("...")) {
      parameter.name.resize(parameter.name.size() - 3);
      parameter.variadic = true;
    }
    result.push_back(std::move(parameter));
  }
  return result;
}

}  // namespace halo
