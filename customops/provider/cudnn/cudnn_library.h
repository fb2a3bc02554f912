// cuDNN, opened at first use: its functions and a handle.
#pragma once

#include <string>

#include "common/status.h"
#include "provider/cudnn/cudnn_api.h"

namespace halo::cuda::cudnn {

/// One a device: its handle belongs to the device that is current at open().
class Library {
 public:
  Library() = default;
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library();

  /// Opens the file that HALO_CUDNN names, else libcudnn.so.9 by the loader's paths, else in CUDA's usual folders. The error says where it looked, or which
  /// version it found where that is below 9.14.
  Status open();

  bool is_open() const { return handle_ != nullptr; }
  const Api& api() const { return api_; }
  Handle handle() const { return handle_; }

  /// The file that was opened, and its version as 9.14.0; empty before.
  const std::string& path() const { return path_; }
  std::string version() const;

  /// An error of cuDNN in the project's form, with its own words.
  Status check(int status, const std::string& what) const;

 private:
  const char* resolve();
  template <class F>
  bool find(const char* name, F* function);

  void* library_ = nullptr;
  std::string path_;
  Api api_ = {};
  Handle handle_ = nullptr;
};

}  // namespace halo::cuda::cudnn
