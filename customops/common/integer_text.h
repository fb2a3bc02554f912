// Whole numbers written in text.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>

namespace halo {

/// The number that all of the text says, in decimal digits with or without a minus; nothing where it says none, or one that does not fit.
/// Not atoi or strtol: under glibc 2.38 or later these ask for a symbol that older systems do not have.
template <class Integer>
std::optional<Integer> integer_of(std::string_view text) {
  Integer value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace halo
