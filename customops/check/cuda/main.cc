// Checks the CUDA kernels, or with --bench times them.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "check/cuda/device.h"
#include "provider/benchmarks/benchmarks.h"

namespace halo::check {

namespace {

bool reduced = false;

constexpr const char* kUsage =
    "halo-cuda-check [--filter TEXT].. [--reduced] [--shared] [--jobs N]   checks: each kernel against its CPU kernel or plain loops, twice for equal bits\n"
    "halo-cuda-check --list [--filter TEXT].. [--shared]                   the names of those checks\n"
    "halo-cuda-check --bench [--filter TEXT]                               times: a line of JSON each, ceilings first\n"
    "  --filter TEXT  only what has TEXT in its name; several widen the choice\n"
    "  --reduced      small shapes only: for compute-sanitizer and for the emulator\n"
    "  --shared       only checks whose kernels exchange data in shared memory: for compute-sanitizer --tool racecheck, with --reduced\n"
    "  --jobs N       checks at a time; one a core if not given";

int bench(const std::vector<std::string>& parts) {
  const Status status = cuda::run_benchmarks(parts.empty() ? "" : parts[0], [](const std::string& line) {
    std::puts(line.c_str());
    std::fflush(stdout);
    return true;
  });
  if (!status.ok()) std::fprintf(stderr, "error: bench: %s\n", status.message().c_str());
  return status.ok() ? 0 : 1;
}

int run(int argc, char** argv) {
  Selection selection;
  bool is_bench = false, is_list = false;
  int jobs = most_jobs();
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const bool has_value = i + 1 < argc;
    if (option == "--reduced") {
      reduced = true;
    } else if (option == "--shared") {
      selection.shared_memory_alone = true;
    } else if (option == "--bench") {
      is_bench = true;
    } else if (option == "--list") {
      is_list = true;
    } else if (option == "--filter" && has_value) {
      selection.parts.emplace_back(argv[++i]);
    } else if (option == "--jobs" && has_value && std::atoi(argv[i + 1]) > 0) {
      jobs = std::min(most_jobs(), std::atoi(argv[++i]));
    } else {
      std::fprintf(stderr, "error: halo-cuda-check: expected the options below, found '%s'.\n%s\n", argv[i], kUsage);
      return 2;
    }
  }
  if (is_list) return list_checks(selection), 0;
  return is_bench ? bench(selection.parts) : run_checks(selection, jobs);
}

}  // namespace

bool is_reduced() { return reduced; }

}  // namespace halo::check

int main(int argc, char** argv) { return halo::check::run(argc, argv); }
