#include "provider/cudnn/cudnn_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <vector>

namespace halo::cuda::cudnn {

namespace {

/// Before it the graphs of attention have known faults on Hopper (9.10 to 9.13).
constexpr size_t kLeastVersion = 91400;

/// Where the library may lie: by its name alone the loader's own paths are meant.
std::vector<std::string> candidates() {
  if (const char* named = std::getenv("HALO_CUDNN"); named != nullptr && *named != '\0') return {named};
  std::vector<std::string> files = {"libcudnn.so.9"};
  for (const char* variable : {"CUDNN_HOME", "CUDA_HOME", "CUDA_PATH"}) {
    if (const char* home = std::getenv(variable); home != nullptr && *home != '\0') {
      for (const char* folder : {"/lib64/", "/lib/"}) files.push_back(std::string(home) + folder + "libcudnn.so.9");
    }
  }
  for (const char* folder : {"/usr/local/cuda/lib64/", "/usr/local/cuda/targets/x86_64-linux/lib/", "/usr/lib/x86_64-linux-gnu/"}) {
    files.push_back(std::string(folder) + "libcudnn.so.9");
  }
  return files;
}

std::string text_of(size_t version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100);
}

}  // namespace

Library::~Library() {
  if (handle_ != nullptr) api_.destroy(handle_);
}

template <class F>
bool Library::find(const char* name, F* function) {
  *function = reinterpret_cast<F>(dlsym(library_, name));
  return *function != nullptr;
}

/// The name of a function that the library lacks, or null.
const char* Library::resolve() {
  if (!find("cudnnGetVersion", &api_.version)) return "cudnnGetVersion";
  if (!find("cudnnCreate", &api_.create)) return "cudnnCreate";
  if (!find("cudnnDestroy", &api_.destroy)) return "cudnnDestroy";
  if (!find("cudnnSetStream", &api_.set_stream)) return "cudnnSetStream";
  if (!find("cudnnGetErrorString", &api_.status_text)) return "cudnnGetErrorString";
  if (!find("cudnnGetLastErrorString", &api_.last_error)) return "cudnnGetLastErrorString";
  if (!find("cudnnBackendCreateDescriptor", &api_.descriptor_create)) return "cudnnBackendCreateDescriptor";
  if (!find("cudnnBackendDestroyDescriptor", &api_.descriptor_destroy)) return "cudnnBackendDestroyDescriptor";
  if (!find("cudnnBackendSetAttribute", &api_.descriptor_set)) return "cudnnBackendSetAttribute";
  if (!find("cudnnBackendGetAttribute", &api_.descriptor_get)) return "cudnnBackendGetAttribute";
  if (!find("cudnnBackendFinalize", &api_.descriptor_finalize)) return "cudnnBackendFinalize";
  if (!find("cudnnBackendExecute", &api_.execute)) return "cudnnBackendExecute";
  return nullptr;
}

Status Library::open() {
  if (handle_ != nullptr) return {};
  constexpr const char* kAdvice = "Install cuDNN 9.14 or later for CUDA 13 or 12, or name the file in HALO_CUDNN.";
  std::string looked;
  for (const std::string& file : candidates()) {
    library_ = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_ != nullptr) {
      path_ = file;
      break;
    }
    looked += (looked.empty() ? "" : ", ") + file;
  }
  HALO_REQUIRE(library_ != nullptr, "cuDNN, one of " << looked, "none of them", kAdvice);
  const char* missing = resolve();
  HALO_REQUIRE(missing == nullptr, "cuDNN with " << missing, path_ << " without it", kAdvice);
  HALO_REQUIRE(api_.version() >= kLeastVersion, "cuDNN " << text_of(kLeastVersion) << " or later", text_of(api_.version()) << ", " << path_, kAdvice);
  if (Dl_info info; dladdr(reinterpret_cast<void*>(api_.create), &info) != 0 && info.dli_fname != nullptr) path_ = info.dli_fname;
  const int status = api_.create(&handle_);
  if (status != 0) handle_ = nullptr;
  return check(status, "a handle of cuDNN");
}

std::string Library::version() const { return handle_ == nullptr ? "" : text_of(api_.version()); }

Status Library::check(int status, const std::string& what) const {
  if (status == 0) return {};
  char words[1024] = {};
  api_.last_error(words, sizeof words);
  HALO_REQUIRE(status == 0, what, api_.status_text(status) << (words[0] == '\0' ? "" : ": ") << words, "Set attention to halo, and report the sizes.");
  return {};
}

}  // namespace halo::cuda::cudnn
