#include "provider/benchmarks/bench.h"

#include <cstdio>
#include <fstream>
#include <map>

#include "provider/benchmarks/benchmarks.h"
#include "provider/errors.h"
#include "provider/kernels/reduce.h"

namespace halo::cuda {

namespace bench {

namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c == '\n' ? ' ' : c;
  }
  return result + "\"";
}

std::string number(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

/// "580.159.04" of the kernel's module; where the system does not say, the CUDA version that the driver is for.
std::string driver_version() {
  std::ifstream file("/proc/driver/nvidia/version");
  for (std::string word; file >> word;) {
    if (std::count(word.begin(), word.end(), '.') >= 1 && word.find_first_not_of("0123456789.") == std::string::npos) return word;
  }
  int found = 0;
  cudaDriverGetVersion(&found);
  return "for CUDA " + version(found);
}

/// More than twice the cache of any GPU.
#ifdef HALO_CUDA_EMULATED
constexpr int64_t kOtherCount = 1024;
#else
constexpr int64_t kOtherCount = int64_t{64} << 20;
#endif

constexpr int64_t kOtherWorkspace = int64_t{1} << 20;

/// By name: the order in which files register is the linker's.
std::map<std::string, void (*)(Bench&)>& registered() {
  static std::map<std::string, void (*)(Bench&)> benches;
  return benches;
}

}  // namespace

Registration::Registration(const char* name, void (*run)(Bench&)) { registered().emplace(name, run); }

Bench::Bench(std::string part, const std::function<bool(const std::string&)>& line)
    : part_(std::move(part)), line_(line), other_(kOtherCount), workspace_(kOtherWorkspace) {
  fill_normal(other_);
}

Bench::~Bench() {
  if (begin_ != nullptr) cudaEventDestroy(begin_);
  if (end_ != nullptr) cudaEventDestroy(end_);
}

Status Bench::open() {
  HALO_REQUIRE(other_.data() != nullptr && workspace_.data() != nullptr, "memory of the GPU for " << 4 * kOtherCount << " bytes", "none",
               "End other programs that use the GPU.");
  HALO_CUDA_RETURN_IF_ERROR(cudaEventCreate(&begin_));
  HALO_CUDA_RETURN_IF_ERROR(cudaEventCreate(&end_));
  HALO_RETURN_IF_ERROR(products_.open());
  int ordinal = 0, runtime = 0;
  cudaDeviceProp properties{};
  HALO_CUDA_RETURN_IF_ERROR(cudaGetDevice(&ordinal));
  HALO_CUDA_RETURN_IF_ERROR(cudaGetDeviceProperties(&properties, ordinal));
  HALO_CUDA_RETURN_IF_ERROR(cudaRuntimeGetVersion(&runtime));
  write("{\"gpu\": " + quoted(properties.name) + ", \"driver\": " + quoted(driver_version()) + ", \"cuda\": " + quoted(version(runtime)) +
        ", \"cublaslt\": " + quoted(products_.version()) + ", \"file\": " + quoted(products_.path()) +
        ", \"cudnn\": " + quoted(attention_.open().ok() ? attention_.version() : "none") + ", \"rounds\": " + std::to_string(kRounds) + "}");
  return status_;
}

void Bench::write(const std::string& text) {
  if (!line_(text)) note(Status::error("the reader of the lines stopped"));
}

Status Bench::time_once(const std::function<Status()>& run, float* milliseconds) {
  const Dims dims{.rank = 1, .sizes = {other_.size()}};
  const bool reduced[] = {true};
  // While the other tensor is read, the host hands over the kernel: between the events there is nothing else.
  HALO_RETURN_IF_ERROR(reduce(ReduceOp::kMax, DType::kFloat, other_.data(), dims, reduced, workspace_.data(), workspace_.data() + kOtherWorkspace / 2,
                              kOtherWorkspace / 2, nullptr));
  HALO_CUDA_RETURN_IF_ERROR(cudaEventRecord(begin_, nullptr));
  HALO_RETURN_IF_ERROR(run());
  HALO_CUDA_RETURN_IF_ERROR(cudaEventRecord(end_, nullptr));
  HALO_CUDA_RETURN_IF_ERROR(cudaEventSynchronize(end_));
  return HALO_CUDA_STATUS(cudaEventElapsedTime(milliseconds, begin_, end_));
}

double Bench::median_of(const std::function<Status()>& run) {
  std::vector<float> times;
  for (int64_t i = 0; i < kWarmUps + kRounds && status_.ok(); ++i) {
    float milliseconds = 0;
    status_ = time_once(run, &milliseconds);
    if (i >= kWarmUps) times.push_back(milliseconds);
  }
  if (!status_.ok()) return 0;
  std::nth_element(times.begin(), times.begin() + static_cast<int64_t>(times.size() / 2), times.end());
  return static_cast<double>(times[times.size() / 2]) * 1e-3;
}

double Bench::time(const std::string& kernel, const std::string& type, const std::string& shape, const Work& work, const std::function<Status()>& run) {
  const std::string name = kernel + " " + type;
  if (!status_.ok() || (!kernel.starts_with("ceiling: ") && name.find(part_) == std::string::npos)) return 0;
  const double seconds = median_of(run);
  if (!status_.ok()) {
    status_ = Status::error(name + " (" + shape + "): " + status_.message());
    return 0;
  }
  std::string text =
      "{\"kernel\": " + quoted(kernel) + ", \"type\": " + quoted(type) + ", \"shape\": " + quoted(shape) + ", \"ms\": " + number("%.4f", seconds * 1e3);
  if (work.bytes > 0) {
    text += ", \"gb_per_s\": " + number("%.0f", work.bytes / seconds * 1e-9);
    if (ceilings.copy > 0) text += ", \"of_copy\": " + number("%.3f", work.bytes / seconds / ceilings.copy);
  }
  if (work.operations > 0) {
    text += ", \"tflop_per_s\": " + number("%.1f", work.operations / seconds * 1e-12);
    if (work.ceiling > 0) text += ", \"of_products\": " + number("%.3f", work.operations / seconds / work.ceiling);
  }
  write(text + "}");
  return seconds;
}

}  // namespace bench

Status run_benchmarks(const std::string& part, const std::function<bool(const std::string&)>& line) {
  int count = 0;
  const cudaError_t found = cudaGetDeviceCount(&count);
  HALO_REQUIRE(found == cudaSuccess && count > 0, "an NVIDIA GPU and its driver", (found == cudaSuccess ? "no GPU" : cudaGetErrorString(found)),
               "See 'halo doctor'.");
  bench::Bench bench(part, line);
  HALO_RETURN_IF_ERROR(bench.open());
  bench::measure_ceilings(bench);
  bench::time_standard_operators<BFloat16>(bench);
  bench::time_standard_operators<float>(bench);
  for (const auto& [name, time] : bench::registered()) time(bench);
  return bench.status();
}

}  // namespace halo::cuda
