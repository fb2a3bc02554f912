// The CUDA row of an operator of com.halo, from the same struct that gives its CPU kernel.
#pragma once

#include <array>
#include <iterator>
#include <span>
#include <vector>

#include "common/shape.h"
#include "plugin/schema.h"
#include "provider/bindings/kernel.h"

namespace halo {

Status check_types(const ReadSchema& schema, Types in);

namespace cuda {

/// One run of an operator: its types, its tensors on the device, which live as long as the run.
class OpLaunch {
 public:
  OpLaunch(Launch& launch, Types in, Types out, std::span<const void* const> data) : launch_(launch), in_(in), out_(out), data_(data) {}

  const TensorType& in(int i) const { return in_[static_cast<size_t>(i)]; }
  const TensorType& out(int i) const { return out_[static_cast<size_t>(i)]; }
  Device& device() const { return launch_.device(); }
  const ProviderSettings& settings() const { return launch_.settings(); }
  cudaStream_t stream() const { return launch_.stream(); }
  WorkMemory& memory() const { return launch_.memory(); }

  /// Null for an input that is left out.
  template <class T = void>
  const T* data(int i) const {
    return static_cast<const T*>(data_[static_cast<size_t>(i)]);
  }

  /// Null for an output that nobody asked for. Allocated at the first call.
  template <class T = void>
  T* result(int i) const {
    const auto sizes = out(i).shape.sizes();
    Dims dims{.rank = static_cast<int>(sizes.size())};
    for (size_t axis = 0; axis < sizes.size(); ++axis) dims.sizes[axis] = sizes[axis];
    return static_cast<T*>(launch_.out(i, dims));
  }

 private:
  Launch& launch_;
  Types in_, out_;
  std::span<const void* const> data_;
};

/// Runs T's kernel on the tensors of a launch.
template <class T>
Status run_op(const T& op, Launch& launch) {
  std::array<TensorType, parameters_count(T::schema.in)> in;
  std::array<TensorType, parameters_count(T::schema.out)> out;
  std::array<const void*, parameters_count(T::schema.in)> data;
  for (size_t i = 0; i < in.size(); ++i) {
    const Tensor x = launch.in(static_cast<int>(i));
    in[i] = {.type = x.type, .shape = Shape(std::span(x.dims.sizes, static_cast<size_t>(x.dims.rank))), .present = x.is_present()};
    data[i] = x.data;
  }
  HALO_RETURN_IF_ERROR(op.infer(in, out));
  OpLaunch call(launch, in, out, data);
  return op.compute_cuda(call);
}

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
                return check_types(schema_of<T>(), in).ok();
              },
          .make = [](const NodeAttributes& attributes) -> Kernel { return [op = T(attributes)](Launch& launch) { return run_op(op, launch); }; },
          .is_view =
              [] {
                if constexpr (requires { T::kAliasesFirstInput; }) return T::kAliasesFirstInput;
                return false;
              }(),
          .in_place =
              [] {
                if constexpr (requires { T::kOverwrites; }) return std::vector<InPlace>(std::begin(T::kOverwrites), std::end(T::kOverwrites));
                return std::vector<InPlace>();
              }(),
          .domain = "com.halo"};
}

}  // namespace cuda

}  // namespace halo
