#include "provider/cudnn/cudnn_graph.h"

namespace halo::cuda::cudnn {

Descriptor::Descriptor(const Library& library, int type) : library_(library), type_(type) {
  failure_ = library.check(library.api().descriptor_create(type, &object_), "a descriptor of kind " + std::to_string(type));
}

Descriptor::~Descriptor() {
  if (object_ != nullptr) library_.api().descriptor_destroy(object_);
}

void Descriptor::set(int attribute, int element_type, int64_t count, const void* elements) {
  if (!failure_.ok()) return;
  failure_ = library_.check(library_.api().descriptor_set(object_, attribute, element_type, count, elements),
                            "attribute " + std::to_string(attribute) + " of a descriptor of kind " + std::to_string(type_));
}

void Descriptor::finalize() {
  if (failure_.ok()) failure_ = library_.check(library_.api().descriptor_finalize(object_), "a whole descriptor of kind " + std::to_string(type_));
}

Descriptor& GraphBuilder::add(int type) {
  parts_.push_back(std::make_unique<Descriptor>(library_, type));
  return *parts_.back();
}

void GraphBuilder::end(Descriptor& part, bool is_operation) {
  part.finalize();
  if (failure_.ok()) failure_ = part.status();
  if (is_operation) operations_.push_back(part.object());
}

GraphTensor GraphBuilder::make(DataType type, const Sizes& sizes, const Sizes& strides, bool is_virtual, bool is_by_value) {
  constexpr int64_t kAlignment = 16;
  Descriptor& tensor = add(kTensor);
  const int64_t id = ++last_id_;
  const bool yes = true;
  tensor.set(kTensorType, kOfDataType, type);
  tensor.set(kTensorSizes, kOfInt64, 4, sizes.data());
  tensor.set(kTensorStrides, kOfInt64, 4, strides.data());
  tensor.set_int64(kTensorId, id);
  tensor.set_int64(kTensorAlignment, kAlignment);
  if (is_virtual) tensor.set(kTensorIsVirtual, kOfBoolean, 1, &yes);
  if (is_by_value) tensor.set(kTensorIsByValue, kOfBoolean, 1, &yes);
  end(tensor, false);
  return {id, tensor.object(), type, sizes};
}

void GraphBuilder::multiply(const GraphTensor& a, const GraphTensor& b, const GraphTensor& y, const ProductLengths& lengths) {
  Descriptor& kind = add(kMatMul);
  kind.set(kMatMulPrecision, kOfDataType, kFloat);
  end(kind, false);
  Descriptor& operation = add(kOperationMatMul);
  operation.set_object(kOperationMatMulA, a.object);
  operation.set_object(kOperationMatMulB, b.object);
  operation.set_object(kOperationMatMulC, y.object);
  operation.set_object(kOperationMatMulDescriptor, kind.object());
  if (lengths.rows.is_there()) operation.set_object(kOperationMatMulRows, lengths.rows.object);
  if (lengths.columns.is_there()) operation.set_object(kOperationMatMulColumns, lengths.columns.object);
  if (lengths.inner.is_there()) operation.set_object(kOperationMatMulInner, lengths.inner.object);
  end(operation, true);
}

void GraphBuilder::pointwise(int mode, const GraphTensor& x, const GraphTensor& b, const GraphTensor& t, const GraphTensor& y, DataType precision,
                             int64_t axis) {
  const float one = 1.0f;
  Descriptor& kind = add(kPointwise);
  kind.set(kPointwiseMode, kOfPointwiseMode, mode);
  kind.set(kPointwisePrecision, kOfDataType, precision);
  if (axis >= 0) kind.set_int64(kPointwiseAxis, axis);
  end(kind, false);
  Descriptor& operation = add(kOperationPointwise);
  operation.set_object(kOperationPointwiseDescriptor, kind.object());
  operation.set_object(kOperationPointwiseX, x.object);
  operation.set_object(kOperationPointwiseY, y.object);
  if (b.is_there()) operation.set_object(kOperationPointwiseB, b.object);
  if (t.is_there()) operation.set_object(kOperationPointwiseT, t.object);
  operation.set(kOperationPointwiseAlpha1, kOfFloat, 1, &one);
  operation.set(kOperationPointwiseAlpha2, kOfFloat, 1, &one);
  end(operation, true);
}

GraphTensor GraphBuilder::pointwise(int mode, const GraphTensor& x, const GraphTensor& b) {
  const GraphTensor y = between(kFloat, x.sizes);
  pointwise(mode, x, b, {}, y);
  return y;
}

void GraphBuilder::reduce(int op, const GraphTensor& x, const GraphTensor& y) {
  Descriptor& kind = add(kReduction);
  kind.set(kReductionOperator, kOfReductionOperator, op);
  kind.set(kReductionPrecision, kOfDataType, kFloat);
  end(kind, false);
  Descriptor& operation = add(kOperationReduction);
  operation.set_object(kOperationReductionX, x.object);
  operation.set_object(kOperationReductionY, y.object);
  operation.set_object(kOperationReductionDescriptor, kind.object());
  end(operation, true);
}

void GraphBuilder::view(const GraphTensor& x, const GraphTensor& y) {
  Descriptor& operation = add(kOperationReshape);
  operation.set_object(kOperationReshapeX, x.object);
  operation.set_object(kOperationReshapeY, y.object);
  end(operation, true);
}

Status GraphBuilder::finish() {
  HALO_RETURN_IF_ERROR(failure_);
  Descriptor& graph = add(kOperationGraph);
  const Handle handle = library_.handle();
  graph.set(kGraphHandle, kOfHandle, 1, &handle);
  graph.set(kGraphOperations, kOfDescriptor, static_cast<int64_t>(operations_.size()), operations_.data());
  end(graph, false);
  return failure_;
}

Status Plan::make(const Library& library, GraphBuilder& graph, std::unique_ptr<Plan>* made) {
  HALO_RETURN_IF_ERROR(graph.finish());
  std::unique_ptr<Plan> plan(new Plan(library));
  const Object operations = graph.graph();
  plan->parts_ = graph.take_parts();
  const Api& api = library.api();
  auto heuristic = std::make_unique<Descriptor>(library, kEngineHeuristic);
  heuristic->set_object(kHeuristicGraph, operations);
  heuristic->set(kHeuristicMode, kOfHeuristicMode, kModeA);
  heuristic->finalize();
  HALO_RETURN_IF_ERROR(heuristic->status());
  int64_t count = 0;
  HALO_RETURN_IF_ERROR(library.check(api.descriptor_get(heuristic->object(), kHeuristicResults, kOfDescriptor, 0, &count, nullptr), "engines for the graph"));
  std::vector<std::unique_ptr<Descriptor>> configs;
  std::vector<Object> objects;
  for (int64_t i = 0; i < count; ++i) {
    configs.push_back(std::make_unique<Descriptor>(library, kEngineConfig));
    objects.push_back(configs.back()->object());
  }
  int64_t found = 0;
  HALO_RETURN_IF_ERROR(
      library.check(api.descriptor_get(heuristic->object(), kHeuristicResults, kOfDescriptor, count, &found, objects.data()), "engines for the graph"));
  Status last;
  for (int64_t i = 0; i < found; ++i) {
    auto candidate = std::make_unique<Descriptor>(library, kExecutionPlan);
    const Handle handle = library.handle();
    candidate->set(kPlanHandle, kOfHandle, 1, &handle);
    candidate->set_object(kPlanConfig, objects[static_cast<size_t>(i)]);
    candidate->finalize();
    last = candidate->status();
    if (!last.ok()) continue;
    int64_t one = 0;
    HALO_RETURN_IF_ERROR(
        library.check(api.descriptor_get(candidate->object(), kPlanWorkspaceBytes, kOfInt64, 1, &one, &plan->workspace_bytes_), "a workspace"));
    plan->plan_ = candidate->object();
    plan->parts_.push_back(std::move(heuristic));
    plan->parts_.push_back(std::move(configs[static_cast<size_t>(i)]));
    plan->parts_.push_back(std::move(candidate));
    *made = std::move(plan);
    return {};
  }
  HALO_RETURN_IF_ERROR(last);
  HALO_REQUIRE(false, "an engine of cuDNN for the graph", "none", "Set attention to halo, and report the sizes.");
}

Status Plan::run(const std::vector<int64_t>& ids, const std::vector<void*>& pointers, void* workspace, cudaStream_t stream) const {
  Descriptor pack(library_, kVariantPack);
  pack.set(kPackIds, kOfInt64, static_cast<int64_t>(ids.size()), ids.data());
  pack.set(kPackPointers, kOfPointer, static_cast<int64_t>(pointers.size()), pointers.data());
  pack.set(kPackWorkspace, kOfPointer, 1, &workspace);
  pack.finalize();
  HALO_RETURN_IF_ERROR(pack.status());
  HALO_RETURN_IF_ERROR(library_.check(library_.api().set_stream(library_.handle(), stream), "a stream"));
  return library_.check(library_.api().execute(library_.handle(), plan_, pack.object()), "a run of the graph");
}

}  // namespace halo::cuda::cudnn
