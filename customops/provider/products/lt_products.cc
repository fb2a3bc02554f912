#include "provider/products/lt_products.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <vector>

#include "provider/products/cublaslt_api.h"
#include "provider/products/left_multiprocessors.h"

namespace halo::cuda {

namespace {

/// Where the library may lie: by its name alone the loader's own paths are meant.
std::vector<std::string> candidates() {
  if (const char* named = std::getenv("HALO_CUBLASLT"); named != nullptr && *named != '\0') return {named};
  std::vector<std::string> files;
  std::vector<std::string> folders = {""};
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
    if (const char* home = std::getenv(variable); home != nullptr && *home != '\0') folders.push_back(std::string(home) + "/lib64/");
  }
  folders.push_back("/usr/local/cuda/lib64/");
  folders.push_back("/usr/local/cuda/targets/x86_64-linux/lib/");
  folders.push_back("/usr/lib/x86_64-linux-gnu/");
  for (const std::string& folder : folders) {
    for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12"}) files.push_back(folder + name);
  }
  return files;
}

int data_type(DType type) {
  switch (type) {
    case DType::kFloat:
      return lt::kR32F;
    case DType::kDouble:
      return lt::kR64F;
    case DType::kFloat16:
      return lt::kR16F;
    case DType::kBFloat16:
      return lt::kR16BF;
    case DType::kInt8:
      return lt::kR8I;
    case DType::kInt32:
      return lt::kR32I;
    case DType::kFloat8E4M3:
      return lt::kR8FE4M3;
    case DType::kFloat8E5M2:
      return lt::kR8FE5M2;
    default:
      return -1;
  }
}

bool is_float8(DType type) { return type == DType::kFloat8E4M3 || type == DType::kFloat8E5M2; }

/// The power of two that divides the address, up to 256.
int alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  return static_cast<int>(std::min<uintptr_t>(256, address & (~address + 1)));
}

std::string describe(const Product& p) {
  std::ostringstream out;
  out << p.type_a << (p.trans_a ? "^T" : "") << " x " << p.type_b << (p.trans_b ? "^T" : "") << " -> " << p.type_y << ", batch " << p.batch << ", M " << p.m
      << ", N " << p.n << ", K " << p.k;
  return out.str();
}

/// What cuBLASLt knows a product by. Row-major Y is column-major Y^T = op(B)^T op(A)^T, so that its A is our B and its B our A.
struct Plan {
  lt::Object descriptor = nullptr, a = nullptr, b = nullptr, y = nullptr;
  lt::Algorithm algorithm = {};
  size_t workspace_bytes = 0;
};

struct Key {
  Product product;
  int alignment;
  int64_t workspace_bytes;
  int left;  // multiprocessors
  auto operator<=>(const Key&) const = default;
};

}  // namespace

struct LtProducts::State {
  void* library = nullptr;
  std::string path;
  lt::Api api = {};
  lt::Handle handle = nullptr;
  std::map<Key, Plan> plans;

  ~State() {
    for (auto& [key, plan] : plans) destroy(plan);
    if (handle != nullptr) api.destroy(handle);
  }

  void destroy(Plan& plan) const {
    if (plan.descriptor != nullptr) api.descriptor_destroy(plan.descriptor);
    for (lt::Object layout : {plan.a, plan.b, plan.y}) {
      if (layout != nullptr) api.layout_destroy(layout);
    }
  }

  template <class F>
  bool find(const char* name, F* function) {
    *function = reinterpret_cast<F>(dlsym(library, name));
    return *function != nullptr;
  }

  /// The name of a function that the library lacks, or null.
  const char* resolve() {
    if (!find("cublasLtCreate", &api.create)) return "cublasLtCreate";
    if (!find("cublasLtDestroy", &api.destroy)) return "cublasLtDestroy";
    if (!find("cublasLtGetVersion", &api.version)) return "cublasLtGetVersion";
    if (!find("cublasLtGetStatusName", &api.status_name)) return "cublasLtGetStatusName";
    if (!find("cublasLtMatmulDescCreate", &api.descriptor_create)) return "cublasLtMatmulDescCreate";
    if (!find("cublasLtMatmulDescSetAttribute", &api.descriptor_set)) return "cublasLtMatmulDescSetAttribute";
    if (!find("cublasLtMatmulDescDestroy", &api.descriptor_destroy)) return "cublasLtMatmulDescDestroy";
    if (!find("cublasLtMatrixLayoutCreate", &api.layout_create)) return "cublasLtMatrixLayoutCreate";
    if (!find("cublasLtMatrixLayoutSetAttribute", &api.layout_set)) return "cublasLtMatrixLayoutSetAttribute";
    if (!find("cublasLtMatrixLayoutDestroy", &api.layout_destroy)) return "cublasLtMatrixLayoutDestroy";
    if (!find("cublasLtMatmulPreferenceCreate", &api.preference_create)) return "cublasLtMatmulPreferenceCreate";
    if (!find("cublasLtMatmulPreferenceSetAttribute", &api.preference_set)) return "cublasLtMatmulPreferenceSetAttribute";
    if (!find("cublasLtMatmulPreferenceDestroy", &api.preference_destroy)) return "cublasLtMatmulPreferenceDestroy";
    if (!find("cublasLtMatmulAlgoGetHeuristic", &api.heuristic)) return "cublasLtMatmulAlgoGetHeuristic";
    if (!find("cublasLtMatmul", &api.multiply)) return "cublasLtMatmul";
    return nullptr;
  }

  Status open() {
    if (handle != nullptr) return {};
    std::string looked;
    for (const std::string& file : candidates()) {
      library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (library != nullptr) {
        path = file;
        break;
      }
      looked += (looked.empty() ? "" : ", ") + file;
    }
    HALO_REQUIRE(library != nullptr, "cuBLASLt, one of " << looked, "none of them", "Install CUDA 13 or 12.8, or name the file in HALO_CUBLASLT.");
    const char* missing = resolve();
    HALO_REQUIRE(missing == nullptr, "cuBLASLt with " << missing, path << " without it", "Install CUDA 13 or 12.8, or name the file in HALO_CUBLASLT.");
    if (Dl_info info; dladdr(reinterpret_cast<void*>(api.create), &info) != 0 && info.dli_fname != nullptr) path = info.dli_fname;
    const int status = api.create(&handle);
    HALO_REQUIRE(status == 0, "a handle of cuBLASLt", api.status_name(status), "Check the driver with nvidia-smi.");
    return {};
  }

  Status check(int status, const char* what, const Product& product) const {
    HALO_REQUIRE(status == 0, what << " for " << describe(product), api.status_name(status), "See multiply() for the sizes and types that it takes.");
    return {};
  }

  Status make_layout(const Product& p, DType type, int64_t rows, int64_t columns, int64_t stride, lt::Object* layout) {
    HALO_RETURN_IF_ERROR(check(api.layout_create(layout, data_type(type), static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), rows), "a layout", p));
    if (p.batch == 1) return {};
    const auto batch = static_cast<int32_t>(p.batch);
    HALO_RETURN_IF_ERROR(check(api.layout_set(*layout, lt::kBatchCount, &batch, sizeof(batch)), "a batch", p));
    return check(api.layout_set(*layout, lt::kBatchStride, &stride, sizeof(stride)), "a stride", p);
  }

  Status make(const Key& key, Plan* plan) {
    const Product& p = key.product;
    HALO_REQUIRE(data_type(p.type_a) >= 0 && data_type(p.type_b) >= 0 && data_type(p.type_y) >= 0, "types with products", describe(p), "Cast the operands.");
    const int compute = p.type_y == DType::kInt32 ? lt::kCompute32I : (p.type_y == DType::kDouble ? lt::kCompute64F : lt::kCompute32F);
    const int scale = p.type_y == DType::kInt32 ? lt::kR32I : (p.type_y == DType::kDouble ? lt::kR64F : lt::kR32F);
    HALO_RETURN_IF_ERROR(check(api.descriptor_create(&plan->descriptor, compute, scale), "a descriptor", p));
    const int32_t trans_a = p.trans_b ? lt::kTransposed : lt::kAsIs, trans_b = p.trans_a ? lt::kTransposed : lt::kAsIs;
    HALO_RETURN_IF_ERROR(check(api.descriptor_set(plan->descriptor, lt::kTransA, &trans_a, sizeof(trans_a)), "a transposition", p));
    HALO_RETURN_IF_ERROR(check(api.descriptor_set(plan->descriptor, lt::kTransB, &trans_b, sizeof(trans_b)), "a transposition", p));
    if (key.left > 0) {
      int device = 0, all = 0;
      cudaGetDevice(&device);
      cudaDeviceGetAttribute(&all, cudaDevAttrMultiProcessorCount, device);
      const int32_t taken = std::max(1, all - key.left);
      HALO_RETURN_IF_ERROR(check(api.descriptor_set(plan->descriptor, lt::kMultiprocessors, &taken, sizeof(taken)), "a number of multiprocessors", p));
    }
    if (is_float8(p.type_a)) {
      const int8_t fast = 0;  // sums kept in float32, not in the matrix unit's fewer bits
      HALO_RETURN_IF_ERROR(check(api.descriptor_set(plan->descriptor, lt::kFastAccumulation, &fast, sizeof(fast)), "exact accumulation", p));
      // Heuristics hang on there being scales, not on where they lie: real pointers are set before each product.
      const void* some = plan;
      HALO_RETURN_IF_ERROR(check(api.descriptor_set(plan->descriptor, lt::kScalePointerA, &some, sizeof(some)), "a scale", p));
      HALO_RETURN_IF_ERROR(check(api.descriptor_set(plan->descriptor, lt::kScalePointerB, &some, sizeof(some)), "a scale", p));
    }
    HALO_RETURN_IF_ERROR(make_layout(p, p.type_b, p.trans_b ? p.k : p.n, p.trans_b ? p.n : p.k, p.stride_b, &plan->a));
    HALO_RETURN_IF_ERROR(make_layout(p, p.type_a, p.trans_a ? p.m : p.k, p.trans_a ? p.k : p.m, p.stride_a, &plan->b));
    HALO_RETURN_IF_ERROR(make_layout(p, p.type_y, p.n, p.m, p.stride_y, &plan->y));
    lt::Object preference = nullptr;
    HALO_RETURN_IF_ERROR(check(api.preference_create(&preference), "a preference", p));
    const auto bytes = static_cast<size_t>(key.workspace_bytes);
    const auto alignment = static_cast<uint32_t>(key.alignment);
    int status = api.preference_set(preference, lt::kMaxWorkspaceBytes, &bytes, sizeof(bytes));
    for (const int attribute : {lt::kMinAlignmentA, lt::kMinAlignmentB, lt::kMinAlignmentC, lt::kMinAlignmentD}) {
      if (status == 0) status = api.preference_set(preference, attribute, &alignment, sizeof(alignment));
    }
    lt::HeuristicResult result = {};
    int found = 0;
    if (status == 0) status = api.heuristic(handle, plan->descriptor, plan->a, plan->b, plan->y, plan->y, preference, 1, &result, &found);
    api.preference_destroy(preference);
    HALO_RETURN_IF_ERROR(check(status, "an algorithm", p));
    HALO_REQUIRE(found > 0 && result.state == 0, "an algorithm for " << describe(p) << " at " << key.alignment << "-byte pointers", "none",
                 "See multiply() for the sizes and types that it takes.");
    plan->algorithm = result.algorithm;
    plan->workspace_bytes = result.workspace_bytes;
    return {};
  }
};

LtProducts::LtProducts() = default;
LtProducts::~LtProducts() = default;

Status LtProducts::open() {
  const std::lock_guard lock(mutex_);
  if (state_ == nullptr) state_ = std::make_unique<State>();
  return state_->open();
}

std::string LtProducts::path() const {
  const std::lock_guard lock(mutex_);
  return state_ == nullptr ? "" : state_->path;
}

std::string LtProducts::version() const {
  const std::lock_guard lock(mutex_);
  return state_ == nullptr || state_->handle == nullptr ? "" : std::to_string(state_->api.version());
}

Status LtProducts::multiply(const Product& product, const void* a, const void* b, void* y, const float* scale_a, const float* scale_b, void* workspace,
                            int64_t workspace_bytes, cudaStream_t stream, const void* c) {
  const int64_t elements = product.batch * product.m * product.n;
  if (elements == 0) return {};
  if (product.k == 0) {
    HALO_REQUIRE(product.beta == 0.0f, "a product with K above 0 where Y is kept", describe(product), "Leave out the product.");
    const cudaError_t error = cudaMemsetAsync(y, 0, static_cast<size_t>(elements * size_of(product.type_y)), stream);
    HALO_REQUIRE(error == cudaSuccess, "zeros in Y", cudaGetErrorString(error), "Check earlier kernels.");
    return {};
  }
  HALO_REQUIRE(is_float8(product.type_a) == (scale_a != nullptr) && is_float8(product.type_b) == (scale_b != nullptr), "scales for float8 operands alone",
               describe(product), "Give the scales of quantized operands.");
  const std::lock_guard lock(mutex_);
  if (state_ == nullptr) state_ = std::make_unique<State>();
  HALO_RETURN_IF_ERROR(state_->open());
  if (c == nullptr) c = y;
  Key key{product, std::min({alignment_of(a), alignment_of(b), alignment_of(c), alignment_of(y)}), workspace_bytes, left_multiprocessors()};
  key.product.alpha = key.product.beta = 0.0f;  // no algorithm hangs on them
  auto found = state_->plans.find(key);
  if (found == state_->plans.end()) {
    Plan plan;
    const Status status = state_->make(key, &plan);
    if (!status.ok()) {
      state_->destroy(plan);
      return status;
    }
    found = state_->plans.emplace(key, plan).first;
  }
  const Plan& plan = found->second;
  if (is_float8(product.type_a)) {
    HALO_RETURN_IF_ERROR(state_->check(state_->api.descriptor_set(plan.descriptor, lt::kScalePointerA, &scale_b, sizeof(scale_b)), "a scale", product));
    HALO_RETURN_IF_ERROR(state_->check(state_->api.descriptor_set(plan.descriptor, lt::kScalePointerB, &scale_a, sizeof(scale_a)), "a scale", product));
  }
  const double double_alpha = static_cast<double>(product.alpha), double_beta = static_cast<double>(product.beta);
  const auto integer_alpha = static_cast<int32_t>(product.alpha), integer_beta = static_cast<int32_t>(product.beta);
  const void* alpha = &product.alpha;
  const void* beta = &product.beta;
  if (product.type_y == DType::kDouble) alpha = &double_alpha, beta = &double_beta;
  if (product.type_y == DType::kInt32) alpha = &integer_alpha, beta = &integer_beta;
  return state_->check(state_->api.multiply(state_->handle, plan.descriptor, alpha, b, plan.a, a, plan.b, beta, c, plan.y, y, plan.y, &plan.algorithm,
                                            workspace, plan.workspace_bytes, stream),
                       "a product", product);
}

}  // namespace halo::cuda
