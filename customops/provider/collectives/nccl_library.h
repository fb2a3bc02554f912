// NCCL, opened at first use.
#pragma once

#include "common/status.h"
#include "provider/collectives/nccl_api.h"

namespace halo::cuda::nccl {

/// The library's functions; the same at each call. `api` stays valid for as long as the process runs.
Status open_library(const Api** api);

}  // namespace halo::cuda::nccl
