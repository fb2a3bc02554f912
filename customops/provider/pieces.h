// Pieces of one workspace, each at a multiple of 256 bytes.
#pragma once

#include <cstdint>
#include <type_traits>

namespace halo::cuda {

class Pieces {
 public:
  /// Where a piece for `count` elements begins.
  template <class T>
  int64_t add(int64_t count) {
    constexpr int64_t kAlignment = 256;
    const int64_t at = bytes_;
    bytes_ += (count * static_cast<int64_t>(sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  }

  int64_t bytes() const { return bytes_; }

 private:
  int64_t bytes_ = 0;
};

template <class T>
T* piece(void* workspace, int64_t at) {
  return reinterpret_cast<T*>(static_cast<uint8_t*>(workspace) + at);
}

}  // namespace halo::cuda
