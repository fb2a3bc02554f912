// Numbers of any type, one at a time, for plain loops.
#pragma once

#include <limits>

#include "common/codes.h"
#include "provider/errors.h"

namespace halo::emulator {

/// NaN of a type that no plain loop has.
inline double element(DType type, const void* x, int64_t i) {
  switch (type) {
    case DType::kFloat:
      return static_cast<double>(static_cast<const float*>(x)[i]);
    case DType::kDouble:
      return static_cast<const double*>(x)[i];
    case DType::kBFloat16:
      return static_cast<double>(to_float(static_cast<const BFloat16*>(x)[i]));
    case DType::kFloat16:
      return static_cast<double>(to_float(static_cast<const Float16*>(x)[i]));
    default: {
      double value = std::numeric_limits<double>::quiet_NaN();
      const Status status = dispatch_codes(type, [&]<class Format>() { value = static_cast<double>(Format::decode(static_cast<const uint8_t*>(x)[i])); });
      return status.ok() ? value : std::numeric_limits<double>::quiet_NaN();
    }
  }
}

inline void store(DType type, void* y, int64_t i, double value) {
  switch (type) {
    case DType::kDouble:
      static_cast<double*>(y)[i] = value;
      return;
    case DType::kInt32:
      static_cast<int32_t*>(y)[i] = static_cast<int32_t>(value);
      return;
    case DType::kBFloat16:
      static_cast<BFloat16*>(y)[i] = from_float<BFloat16>(static_cast<float>(value));
      return;
    case DType::kFloat16:
      static_cast<Float16*>(y)[i] = from_float<Float16>(static_cast<float>(value));
      return;
    default:
      static_cast<float*>(y)[i] = static_cast<float>(value);
  }
}

}  // namespace halo::emulator
