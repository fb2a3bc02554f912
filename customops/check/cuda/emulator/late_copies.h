// Streams beside the device's, for the one source that has such: included in front of it. Their copies are left until somebody waits for them, the latest that
// a GPU may make them, so that a wait that is missing shows. The device's own stream is null and does everything at once.
#pragma once

#include <deque>
#include <functional>

#include "cuda_runtime_api.h"

namespace halo::emulator::late {

struct Stream {
  std::deque<std::function<void()>> left;
  size_t done = 0;
};

struct Event {
  Stream* stream = nullptr;
  size_t place = 0;  // how many copies the stream had been given
};

inline Stream* beside(cudaStream_t stream) { return reinterpret_cast<Stream*>(stream); }
inline Event* of(cudaEvent_t event) { return reinterpret_cast<Event*>(event); }

/// Makes the copies of a stream up to a place.
inline void catch_up(Stream* stream, size_t place) {
  for (; stream != nullptr && stream->done < place; ++stream->done) {
    carry_out(stream->left.front());
    stream->left.pop_front();
  }
}

inline cudaError_t create(cudaStream_t* stream, unsigned) { return *stream = reinterpret_cast<cudaStream_t>(new Stream), cudaSuccess; }

inline cudaError_t create_event(cudaEvent_t* event, unsigned) { return *event = reinterpret_cast<cudaEvent_t>(new Event), cudaSuccess; }

inline cudaError_t destroy_event(cudaEvent_t event) { return delete of(event), cudaSuccess; }

inline cudaError_t record(cudaEvent_t event, cudaStream_t stream) {
  Stream* const other = beside(stream);
  *of(event) = {.stream = other, .place = other == nullptr ? 0 : other->done + other->left.size()};
  return cudaSuccess;
}

inline cudaError_t wait(cudaStream_t, cudaEvent_t event, unsigned) { return catch_up(of(event)->stream, of(event)->place), cudaSuccess; }

inline cudaError_t copy(void* to, const void* from, size_t bytes, int, cudaStream_t stream) {
  return beside(stream)->left.emplace_back([=] { std::memcpy(to, from, bytes); }), cudaSuccess;
}

inline cudaError_t synchronize(cudaStream_t stream) {
  catch_up(beside(stream), beside(stream)->done + beside(stream)->left.size());
  return unless_recording();
}

}  // namespace halo::emulator::late

#define cudaStreamCreateWithFlags halo::emulator::late::create
#define cudaEventCreateWithFlags halo::emulator::late::create_event
#define cudaEventDestroy halo::emulator::late::destroy_event
#define cudaEventRecord halo::emulator::late::record
#define cudaStreamWaitEvent halo::emulator::late::wait
#define cudaStreamSynchronize halo::emulator::late::synchronize
#define cudaMemcpyAsync halo::emulator::late::copy
