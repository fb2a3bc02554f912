// What launchers refuse: nothing is started, and the status says what was found and what to do. Tensors are null, as nobody comes to read them.
#pragma once

#include <string>

#include "check/cuda/device.h"

namespace halo::check {

inline constexpr int64_t kTooMany = int64_t{1} << 31;
inline constexpr DType kFloat = DType::kFloat;
inline const void* const none = nullptr;
inline void* const nowhere = nullptr;
inline float* const no_floats = nullptr;
inline const int64_t* const no_labels = nullptr;

inline const char* const kFloatTensors = "a tensor of float, bfloat16, float16";

/// "expected <expected>, found <found>. <advice> (file:line)".
inline void expect_refused(const Status& status, const std::string& expected, const std::string& found) {
  const std::string wanted = "expected " + expected;
  expect(status.message().starts_with(wanted) && status.message().find(", found " + found + ". ") != std::string::npos,
         "expected a refusal '" + wanted + " .., found " + found + "', found '" + status.message() + "'");
}

}  // namespace halo::check
