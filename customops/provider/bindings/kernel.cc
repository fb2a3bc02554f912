#include "provider/bindings/kernel.h"

#include <cstring>

namespace halo::cuda {

std::vector<KernelEntry>& kernels() {
  static std::vector<KernelEntry> table;
  return table;
}

const KernelEntry* find_kernel(const char* domain, const char* type) {
  for (const KernelEntry& entry : kernels()) {
    if (std::strcmp(entry.type, type) == 0 && std::strcmp(entry.domain, domain) == 0) return &entry;
  }
  return nullptr;
}

KernelRows::KernelRows(std::vector<KernelEntry> rows) {
  for (KernelEntry& row : rows) kernels().push_back(std::move(row));
}

}  // namespace halo::cuda
