// The times of kernels, copies and fills of any CUDA program, as the device
// stamps them while they run one behind the other (recordings too), by CUPTI.
//   g++ -shared -fPIC -O2 kernel_trace.cc -o kernel_trace.so
//   -I$CUDA/extras/CUPTI/include -I$CUDA/include -L$CUDA/extras/CUPTI/lib64
//   -lcupti CUDA_INJECTION64_PATH=kernel_trace.so KERNEL_TRACE=trace.tsv
//   program; python3 kernel_table.py trace.tsv
// Of several ranks (torchrun's RANK or mpirun's OMPI_COMM_WORLD_RANK is set)
// each writes a file of its own, trace.tsv.0 and so on; ranks_split.py sets one
// beside the trace of one GPU. A line each: start and end in ns, stream, name.
// What is finished is written every half second, so that a program may be
// killed.
#include <cupti.h>

#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <mutex>
#include <string>

namespace {

std::mutex lock;
std::FILE *file = nullptr;

void write(unsigned long long start, unsigned long long end, unsigned stream,
           const char *name) {
  std::fprintf(file, "%llu\t%llu\t%u\t%s\n", start, end, stream, name);
}

void CUPTIAPI request(uint8_t **buffer, size_t *size, size_t *records) {
  *size = 128 << 10;
  *buffer = static_cast<uint8_t *>(std::aligned_alloc(8, *size));
  *records = 0;
}

void CUPTIAPI complete(CUcontext, uint32_t, uint8_t *buffer, size_t,
                       size_t valid) {
  std::lock_guard<std::mutex> guard(lock);
  for (CUpti_Activity *record = nullptr;
       cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS;) {
    if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
      const auto &kernel = *reinterpret_cast<CUpti_ActivityKernel9 *>(record);
      write(kernel.start, kernel.end, kernel.streamId, kernel.name);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
      const auto &copy = *reinterpret_cast<CUpti_ActivityMemcpy5 *>(record);
      write(copy.start, copy.end, copy.streamId,
            copy.copyKind == CUPTI_ACTIVITY_MEMCPY_KIND_DTOD
                ? "copy on the device"
                : "copy to or from the host");
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
      const auto &fill = *reinterpret_cast<CUpti_ActivityMemset4 *>(record);
      write(fill.start, fill.end, fill.streamId, "fill");
    }
  }
  std::fflush(file);
  std::free(buffer);
}

/// What CUPTI refuses leaves a trace without kernels: it is said.
void require(CUptiResult result, const char *what) {
  if (result == CUPTI_SUCCESS)
    return;
  const char *text = "";
  cuptiGetResultString(result, &text);
  std::fprintf(stderr,
               "kernel_trace: expected %s of CUPTI, found %s. Take the library "
               "of the CUDA that the program runs with.\n",
               what, text);
}

} // namespace

extern "C" __attribute__((visibility("default"))) int InitializeInjection() {
  const char *given = std::getenv("KERNEL_TRACE");
  const char *rank = std::getenv("RANK");
  if (rank == nullptr)
    rank = std::getenv("OMPI_COMM_WORLD_RANK");
  const std::string path =
      std::string(given != nullptr ? given : "kernel_trace.tsv") +
      (rank != nullptr ? std::string(".") + rank : "");
  file = std::fopen(path.c_str(), "w");
  if (file == nullptr)
    return 0;
  require(cuptiActivityRegisterCallbacks(request, complete), "buffers");
  for (const auto kind :
       {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY,
        CUPTI_ACTIVITY_KIND_MEMSET}) {
    require(cuptiActivityEnable(kind), "records");
  }
  cuptiActivityFlushPeriod(500);
  std::atexit([] { cuptiActivityFlushAll(1); });
  return 1;
}
