// The part of CUDA's runtime that launchers and the check program use, for kernels run on the CPU by cuda_runtime.h beside this.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#define HALO_CUDA_EMULATED

enum cudaError {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorNotReady = 600,
  cudaErrorNotSupported = 801,
  cudaErrorStreamCaptureUnsupported = 900
};
using cudaError_t = cudaError;
typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16, cudaDevAttrComputeCapabilityMajor = 75, cudaDevAttrMaxSharedMemoryPerBlockOptin = 97 };

/// Work of a stream, to be done again.
struct CUgraph_st {
  std::vector<std::function<void()>> work;
};

namespace halo::emulator {

/// Where work goes in place of being done; null: nothing records.
inline CUgraph_st* recording = nullptr;

/// Does the work of a stream, or records it: then it may refer to device memory alone.
template <class F>
cudaError_t carry_out(F&& work) {
  if (recording != nullptr) return recording->work.emplace_back(work), cudaSuccess;
  return work(), cudaSuccess;
}

/// What no recording can hold, such as a wait.
inline cudaError_t unless_recording() { return recording == nullptr ? cudaSuccess : cudaErrorStreamCaptureUnsupported; }

}  // namespace halo::emulator

inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : (error == cudaErrorStreamCaptureUnsupported ? "operation not permitted when stream is capturing" : "an error");
}
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaDeviceSynchronize() { return halo::emulator::unless_recording(); }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return halo::emulator::unless_recording(); }
inline cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMultiProcessorCount ? 3 : attribute == cudaDevAttrComputeCapabilityMajor ? 9 : 232448;
  return cudaSuccess;
}

template <class T>
cudaError_t cudaMalloc(T** pointer, size_t bytes) {
  *pointer = static_cast<T*>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* pointer) { return std::free(pointer), cudaSuccess; }
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  return halo::emulator::carry_out([=] {
    if (bytes > 0) std::memcpy(to, from, bytes);
  });
}
inline cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return halo::emulator::recording != nullptr ? cudaErrorStreamCaptureUnsupported : cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}
inline cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height, cudaMemcpyKind,
                                     cudaStream_t) {
  return halo::emulator::carry_out([=] {
    for (size_t i = 0; i < height; ++i) std::memcpy(static_cast<char*>(to) + i * to_pitch, static_cast<const char*>(from) + i * from_pitch, width);
  });
}
inline cudaError_t cudaMemset(void* to, int value, size_t bytes) { return std::memset(to, value, bytes), cudaSuccess; }
inline cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  return halo::emulator::carry_out([=] { std::memset(to, value, bytes); });
}

template <class F>
cudaError_t cudaFuncSetAttribute(F*, cudaFuncAttribute, int) {
  return cudaSuccess;
}

struct CUevent_st {
  std::chrono::steady_clock::time_point time;
};
inline cudaError_t cudaEventCreate(cudaEvent_t* event) { return *event = new CUevent_st, cudaSuccess; }
inline cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) { return event->time = std::chrono::steady_clock::now(), cudaSuccess; }
inline cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return halo::emulator::unless_recording(); }
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return cudaSuccess;
}

#include "provider_runtime.h"
