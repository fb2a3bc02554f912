// Graphs of cuDNN's operations, and the plans that run them.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "provider/cudnn/cudnn_library.h"

namespace halo::cuda::cudnn {

using Sizes = std::array<int64_t, 4>;

/// Strides of a dense row-major tensor.
constexpr Sizes dense(const Sizes& sizes) { return {sizes[1] * sizes[2] * sizes[3], sizes[2] * sizes[3], sizes[3], 1}; }

/// The same memory with the last two axes exchanged.
constexpr Sizes swapped(const Sizes& s) { return {s[0], s[1], s[3], s[2]}; }

/// A descriptor of the library, freed with its owner.
class Descriptor {
 public:
  Descriptor(const Library& library, int type);
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor();

  Object object() const { return object_; }

  /// Each notes the first error and does nothing after one: status() tells.
  void set(int attribute, int element_type, int64_t count, const void* elements);
  void set(int attribute, int element_type, int value) { set(attribute, element_type, 1, &value); }
  void set_int64(int attribute, int64_t value) { set(attribute, kOfInt64, 1, &value); }
  void set_object(int attribute, Object value) { set(attribute, kOfDescriptor, 1, &value); }
  void finalize();

  const Status& status() const { return failure_; }

 private:
  const Library& library_;
  int type_;
  Object object_ = nullptr;
  Status failure_;
};

/// A tensor of a graph; its id says which pointer of a run is its data.
struct GraphTensor {
  int64_t id = 0;
  Object object = nullptr;
  DataType type = kFloat;
  Sizes sizes = {};

  bool is_there() const { return object != nullptr; }
};

/// Lengths (B, 1, 1, 1) int32 that cut a product's sizes, of each batch row.
struct ProductLengths {
  GraphTensor rows = {}, columns = {}, inner = {};
};

/// Builds a graph operation by operation; the first error is kept, and finish() returns it.
class GraphBuilder {
 public:
  explicit GraphBuilder(const Library& library) : library_(library) {}

  /// A tensor with data of its own; 16-byte aligned.
  GraphTensor given(DataType type, const Sizes& sizes, const Sizes& strides) { return make(type, sizes, strides, false, false); }

  /// One that only operations of the graph see.
  GraphTensor between(DataType type, const Sizes& sizes, const Sizes& strides) { return make(type, sizes, strides, true, false); }
  GraphTensor between(DataType type, const Sizes& sizes) { return between(type, sizes, dense(sizes)); }

  /// A number whose data is a host pointer.
  GraphTensor number(DataType type) { return make(type, {1, 1, 1, 1}, {1, 1, 1, 1}, false, true); }

  /// y = a b, sums in float32.
  void multiply(const GraphTensor& a, const GraphTensor& b, const GraphTensor& y, const ProductLengths& lengths = {});

  /// y = mode(x, b, t); axis: that of kIndex.
  void pointwise(int mode, const GraphTensor& x, const GraphTensor& b, const GraphTensor& t, const GraphTensor& y, DataType precision = kFloat,
                 int64_t axis = -1);

  /// x op b into a new float32 tensor between operations, of x's sizes.
  GraphTensor pointwise(int mode, const GraphTensor& x, const GraphTensor& b = {});

  /// y = x with the axes that y lacks reduced.
  void reduce(int op, const GraphTensor& x, const GraphTensor& y);

  /// y: another view of x.
  void view(const GraphTensor& x, const GraphTensor& y);

  /// The graph, or the first error.
  Status finish();

  Object graph() const { return parts_.back()->object(); }
  std::vector<std::unique_ptr<Descriptor>> take_parts() { return std::move(parts_); }

 private:
  GraphTensor make(DataType type, const Sizes& sizes, const Sizes& strides, bool is_virtual, bool is_by_value);
  Descriptor& add(int type);
  void end(Descriptor& part, bool is_operation);

  const Library& library_;
  std::vector<std::unique_ptr<Descriptor>> parts_;
  std::vector<Object> operations_;
  int64_t last_id_ = 0;
  Status failure_;
};

/// What runs a graph on the GPU of the library's handle.
class Plan {
 public:
  /// With the first of the heuristic's engines that takes the graph.
  static Status make(const Library& library, GraphBuilder& graph, std::unique_ptr<Plan>* made);

  int64_t workspace_bytes() const { return workspace_bytes_; }

  /// pointers[i] is the data of the tensor ids[i]: on the device, of numbers on the host.
  Status run(const std::vector<int64_t>& ids, const std::vector<void*>& pointers, void* workspace, cudaStream_t stream) const;

 private:
  explicit Plan(const Library& library) : library_(library) {}

  const Library& library_;
  std::vector<std::unique_ptr<Descriptor>> parts_;  // plans go on reading what they were made from
  Object plan_ = nullptr;
  int64_t workspace_bytes_ = 0;
};

}  // namespace halo::cuda::cudnn
