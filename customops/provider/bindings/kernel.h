// The table of kernels that the provider offers to ONNX Runtime. Each family's file adds its rows; none is listed elsewhere.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/dispatch.h"
#include "common/status.h"
#include "plugin/attributes.h"
#include "provider/bindings/launch.h"

namespace halo::cuda {

/// What a node says of itself before anything runs.
struct NodeFacts {
  const Attributes& attributes;
  std::vector<DType> in, out;  // kUndefined where one is left out

  DType type() const { return in.empty() ? DType::kUndefined : in[0]; }
};

/// A node's work, its attributes read.
using Kernel = std::function<Status(Launch&)>;

/// An attribute that is a tensor: the element type and bytes of its single element.
struct SplatAttribute {
  DType type = DType::kUndefined;
  uint64_t bits = 0;
};

/// Attributes of a node whose kernel is being made.
class NodeAttributes : public Attributes {
 public:
  virtual SplatAttribute splat(const char* name) const = 0;
};

/// An input that an output may overwrite where type and sizes are the same.
struct InPlace {
  int input, output;
  constexpr InPlace(int from, int to = 0) : input(from), output(to) {}  // implicit: most have one output
};

struct KernelEntry {
  const char* type;
  /// Whether there is a kernel for the node's types and attributes.
  bool (*supports)(const NodeFacts& node);
  Kernel (*make)(const NodeAttributes& attributes);
  std::vector<int> host_inputs = {};   // inputs that the kernel reads on the host: sizes, axes
  std::vector<int> host_outputs = {};  // outputs that it writes there
  bool is_view = false;                // output 0 is input 0 with other sizes, and needs no memory of its own
  std::vector<InPlace> in_place = {};
  const char* domain = "";
};

std::vector<KernelEntry>& kernels();

/// Null if there is none.
const KernelEntry* find_kernel(const char* domain, const char* type);

struct KernelRows {
  explicit KernelRows(std::vector<KernelEntry> rows);
};

/// `one` of float, bfloat16, float16 or double.
constexpr bool is_float(DType one) { return RealTypes::has(one); }

inline bool is_float_node(const NodeFacts& node) { return is_float(node.type()); }

constexpr bool is_index(DType one) { return IndexTypes::has(one); }

/// A type whose elements are moved without looking at them.
constexpr bool is_movable(DType one) {
  return is_float(one) || is_index(one) || one == DType::kBool || one == DType::kInt8 || one == DType::kUInt8 || one == DType::kFloat8E4M3 ||
         one == DType::kFloat8E5M2;
}

}  // namespace halo::cuda
