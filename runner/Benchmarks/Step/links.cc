// What two GPUs of one machine reach without a kernel: copies into each other's memory, and flags that one's stream writes and the other's waits for.
//   nvcc -O2 links.cc -o links -lcuda; ./links        needs two GPUs; a line of JSON, or what failed and exit code 1
// Two processes, a GPU each, as ranks are: memory is passed on by cudaIpcGetMemHandle.
#include <cuda.h>
#include <cuda_runtime.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

int rank = 0;

void require(bool holds, const char* what, const char* found) {
  if (holds) return;
  std::printf("{\"figure\": \"links\", \"rank\": %d, \"failed\": \"%s: %s\"}\n", rank, what, found);
  std::exit(1);
}
void check(cudaError_t error, const char* what) { require(error == cudaSuccess, what, cudaGetErrorString(error)); }
void check(CUresult error, const char* what) {
  const char* text = "";
  if (error != CUDA_SUCCESS) cuGetErrorString(error, &text);
  require(error == CUDA_SUCCESS, what, text);
}

template <class T>
T swap(int socket, T own) {
  T other;
  require(write(socket, &own, sizeof own) == sizeof own && read(socket, &other, sizeof other) == sizeof other, "the other process", "it has ended");
  return other;
}

constexpr size_t kBytes = size_t{256} << 20;
constexpr int kTrips = 1000, kCopies = 8;

/// The time of a stream's work, when both processes have come there.
template <class F>
double milliseconds(int socket, cudaStream_t stream, F&& work) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "event");
  check(cudaEventCreate(&end), "event");
  work();  // once to warm up
  check(cudaStreamSynchronize(stream), "warm-up");
  swap(socket, 0);
  check(cudaEventRecord(begin, stream), "event");
  work();
  check(cudaEventRecord(end, stream), "event");
  check(cudaStreamSynchronize(stream), "work");
  float taken = 0;
  check(cudaEventElapsedTime(&taken, begin, end), "time");
  swap(socket, 0);
  return taken;
}

void run(int socket) {
  int count = 0;
  check(cudaGetDeviceCount(&count), "devices");
  require(count >= 2, "two GPUs", "fewer");
  check(cudaSetDevice(rank), "device");
  char *own = nullptr, *other = nullptr, *source = nullptr;
  check(cudaMalloc(&own, kBytes + 256), "memory");
  check(cudaMalloc(&source, kBytes), "memory");
  check(cudaMemset(own, 0, kBytes + 256), "memory");
  check(cudaDeviceSynchronize(), "memory");
  cudaIpcMemHandle_t handle;
  check(cudaIpcGetMemHandle(&handle, own), "cudaIpcGetMemHandle");
  const cudaIpcMemHandle_t given = swap(socket, handle);
  check(cudaIpcOpenMemHandle(reinterpret_cast<void**>(&other), given, cudaIpcMemLazyEnablePeerAccess), "cudaIpcOpenMemHandle");
  cudaStream_t stream;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");

  const auto copies = [&] {
    for (int i = 0; i < kCopies; ++i) check(cudaMemcpyAsync(other, source, kBytes, cudaMemcpyDefault, stream), "copy");
  };
  const double both = milliseconds(socket, stream, copies);
  const double one = milliseconds(socket, stream, [&] {
    if (rank == 0) copies();
  });
  const double local = milliseconds(socket, stream, [&] {
    for (int i = 0; i < kCopies; ++i) check(cudaMemcpyAsync(own, source, kBytes, cudaMemcpyDeviceToDevice, stream), "copy");
  });

  const auto own_flag = reinterpret_cast<CUdeviceptr>(own + kBytes), other_flag = reinterpret_cast<CUdeviceptr>(other + kBytes);
  uint32_t at = 0;
  const double trips = milliseconds(socket, stream, [&] {
    for (int i = 0; i < kTrips; ++i, ++at) {
      if (rank == 0) check(cuStreamWriteValue32(stream, other_flag, at + 1, 0), "cuStreamWriteValue32");
      check(cuStreamWaitValue32(stream, own_flag, at + 1, CU_STREAM_WAIT_VALUE_GEQ), "cuStreamWaitValue32");
      if (rank == 1) check(cuStreamWriteValue32(stream, other_flag, at + 1, 0), "cuStreamWriteValue32");
    }
  });
  const double gigabytes = static_cast<double>(kBytes) * kCopies / 1e9;
  if (rank == 0) {
    std::printf(
        "{\"figure\": \"links\", \"gb_per_s_one_way\": %.1f, "
        "\"gb_per_s_each_of_both_ways\": %.1f, \"gb_per_s_within\": "
        "%.1f, \"flag_there_and_back_us\": %.2f}\n",
        gigabytes / one * 1e3, gigabytes / both * 1e3, gigabytes / local * 1e3, trips / kTrips * 1e3);
  }
}

}  // namespace

int main() {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) return 1;
  const pid_t child = fork();  // before CUDA is begun with
  rank = child == 0 ? 1 : 0;
  close(sockets[1 - rank]);
  run(sockets[rank]);
  if (child == 0) return 0;
  int status = 0;
  waitpid(child, &status, 0);
  return status == 0 ? 0 : 1;
}
