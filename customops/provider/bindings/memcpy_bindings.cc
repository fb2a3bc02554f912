// MemcpyFromHost and MemcpyToHost, which ONNX Runtime puts between nodes of different memories.
#include "provider/bindings/kernel.h"

namespace halo::cuda {

namespace {

int64_t bytes_of(const Tensor& x) { return x.count() * x.element_size(); }

Status from_host(Launch& launch) {
  const Tensor x = launch.in(0);
  return launch.device().staging().to_device(launch.out(0, x.dims), x.data, bytes_of(x), launch.stream());
}

/// Waits: the reader may be a node on the same stream that takes the tensor on the host.
Status to_host(Launch& launch) {
  const Tensor x = launch.in(0);
  return launch.device().staging().to_host(launch.out(0, x.dims), x.data, bytes_of(x), launch.stream());
}

const KernelRows memcpy_kernels({
    {.type = "MemcpyFromHost",
     .supports = [](const NodeFacts& node) { return is_movable(node.type()); },
     .make = [](const NodeAttributes&) -> Kernel { return from_host; },
     .host_inputs = {0}},
    {.type = "MemcpyToHost",
     .supports = [](const NodeFacts& node) { return is_movable(node.type()); },
     .make = [](const NodeAttributes&) -> Kernel { return to_host; },
     .host_outputs = {0}},
});

}  // namespace

}  // namespace halo::cuda
