// The CUDA row of an operator of com.halo, from the same struct that gives its CPU kernel.
#pragma once

#include <vector>

#include "common/shape.h"
#include "plugin/schema.h"
#include "provider/bindings/kernel.h"

namespace halo {

Status check_types(const Schema& schema, Types in);

namespace cuda {

/// One run of an operator: its types, its tensors on the device.
class OpLaunch {
 public:
  OpLaunch(Launch& launch, std::vector<TensorType> in, std::vector<TensorType> out, std::vector<const void*> data)
      : launch_(launch), in_(std::move(in)), out_(std::move(out)), data_(std::move(data)) {}

  const TensorType& in(int i) const { return in_[static_cast<size_t>(i)]; }
  const TensorType& out(int i) const { return out_[static_cast<size_t>(i)]; }
  Device& device() const { return launch_.device(); }
  cudaStream_t stream() const { return launch_.stream(); }

  /// Null for an input that is left out.
  template <class T = void>
  const T* data(int i) const {
    return static_cast<const T*>(data_[static_cast<size_t>(i)]);
  }

  /// Null for an output that nobody asked for. Allocated at the first call.
  template <class T = void>
  T* result(int i) const {
    const auto& sizes = out(i).shape.sizes();
    Dims dims{.rank = static_cast<int>(sizes.size())};
    for (size_t axis = 0; axis < sizes.size(); ++axis) dims.sizes[axis] = sizes[axis];
    return static_cast<T*>(launch_.out(i, dims));
  }

 private:
  Launch& launch_;
  std::vector<TensorType> in_, out_;
  std::vector<const void*> data_;
};

/// T as Op<T> wants it, with compute_cuda; `static bool supports_cuda(const Attributes&)` where not every node has a kernel.
template <class T>
KernelEntry op_row() {
  return {.type = T::schema.name,
          .supports =
              [](const NodeFacts& node) {
                std::vector<TensorType> in;
                for (const DType type : node.in) in.push_back({.type = type, .shape = {}, .present = type != DType::kUndefined});
                if constexpr (requires { T::supports_cuda(node.attributes); }) {
                  if (!T::supports_cuda(node.attributes)) return false;
                }
                return check_types(T::schema, in).ok();
              },
          .make = [](const NodeAttributes& attributes) -> Kernel {
            const size_t inputs = parameters(T::schema.in, T::schema.types).size(), outputs = parameters(T::schema.out, T::schema.types).size();
            return [op = T(attributes), inputs, outputs](Launch& launch) -> Status {
              std::vector<TensorType> in(inputs), out(outputs);
              std::vector<const void*> data(inputs);
              for (size_t i = 0; i < inputs; ++i) {
                const Tensor x = launch.in(static_cast<int>(i));
                in[i] = {.type = x.type, .shape = Shape(std::vector<int64_t>(x.dims.sizes, x.dims.sizes + x.dims.rank)), .present = x.is_present()};
                data[i] = x.data;
              }
              HALO_RETURN_IF_ERROR(op.infer(in, out));
              OpLaunch call(launch, std::move(in), std::move(out), std::move(data));
              return op.compute_cuda(call);
            };
          },
          .is_view =
              [] {
                if constexpr (requires { T::kAliasesFirstInput; }) return T::kAliasesFirstInput;
                return false;
              }(),
          .domain = "com.halo"};
}

}  // namespace cuda

}  // namespace halo
