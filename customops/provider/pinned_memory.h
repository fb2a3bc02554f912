// Host memory that kernels read and write where it lies.
#pragma once

#include <cstdint>

#include "common/status.h"

namespace halo::cuda {

/// Zeros in page-locked memory of the host, whose address is one of every GPU's as well (unified addressing): a kernel's loads and stores go over the bus, both
/// ways at once, as many as it has in flight. Null, with the reason, where the system gives none.
Status pin(int64_t bytes, void** memory);

void unpin(void* memory);

}  // namespace halo::cuda
