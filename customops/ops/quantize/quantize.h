// Rounds a tensor to 8-bit codes under one scale, x ~ q * scale.
#pragma once

#include <cstdint>

#include "common/executor.h"

namespace halo {

/// scale = max |x| / qmax, or 1 where that is no normal float32; codes (count) = saturate(round-half-even(x / scale)).
/// A NaN becomes the format's NaN code; a format without one (int8) gets a NaN scale. Two passes over X; bound by memory.
/// `partial` has room for quantize_partials(count) floats.
template <class Format, class T>
void quantize_cpu(const T* x, uint8_t* codes, float* scale, int64_t count, float* partial, const Executor& executor);

int64_t quantize_partials(int64_t count);

}  // namespace halo
