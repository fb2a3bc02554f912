// Constants that C# has as well, as text for the test that compares them (NativeConstantsTests.cs).
#include <string>

#include "common/codes.h"
#include "common/hadamard_matrix.h"
#include "provider/products/workspace.h"

namespace halo {

namespace {

/// FNV-1a over the signs, row by row.
uint64_t digest(const std::vector<float>& signs) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const float sign : signs) hash = (hash ^ (sign > 0 ? 1 : 0)) * 0x100000001B3;
  return hash;
}

template <class Format>
std::string format_line() {
  return std::string("format\t") + Format::kName + "\t" + std::to_string(static_cast<int>(Format::kQMax)) + "\n";
}

std::string hadamard_lines() {
  constexpr int64_t kLargestOrder = 1024;  // of a matrix that is no product
  std::string lines;
  for (int64_t n = 1; n <= kLargestOrder; ++n) {
    const HadamardOrder found = hadamard_order(n);
    if (found.order == 0) continue;
    lines += "hadamard\t" + std::to_string(n) + "\t" + std::to_string(found.order) + "\t" + std::to_string(found.log2) + "\t";
    lines += (found.log2 == 0 ? std::to_string(digest(hadamard_signs(found.order))) : "") + "\n";
  }
  return lines;
}

}  // namespace

}  // namespace halo

extern "C" {

/// A line a constant, fields between tabs: "format name qmax", "hadamard n K k digest-of-A_K" (the digest where k = 0), "product-workspace bytes".
__attribute__((visibility("default"))) const char* HaloConstants() {
  using namespace halo;
  static const std::string text = format_line<E4M3>() + format_line<E5M2>() + format_line<Int8>() + format_line<E3M2>() + "product-workspace\t" +
                                  std::to_string(cuda::kProductWorkspaceBytes) + "\n" + hadamard_lines();
  return text.c_str();
}
}
