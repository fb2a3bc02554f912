// Which GPUs a build is for.
#include "check/check.h"
#include "provider/architectures.h"

namespace halo::check {

HALO_CHECK(gpus_of_a_build_are_known) {
  using cuda::runs_on;
  constexpr const char* kAll = "89, 90a, 100a, 120a";
  for (const auto& [major, minor] : {std::pair{8, 9}, {9, 0}, {10, 0}, {12, 0}, {10, 3}}) expect(runs_on(kAll, major, minor), "all of them");  // 10.3 by 89
  expect(!runs_on(kAll, 8, 6) && !runs_on(kAll, 7, 5), "older ones");
  expect(runs_on("90a", 9, 0) && !runs_on("90a", 8, 9) && !runs_on("90a", 10, 0), "90a");
  expect(runs_on("100f", 10, 3) && !runs_on("100f", 12, 0) && !runs_on("100f", 9, 0), "100f");
  expect(runs_on("89-real", 8, 9) && !runs_on("89-real", 9, 0) && !runs_on("89-real", 8, 6), "89-real");
  expect(runs_on("80-virtual", 9, 0) && !runs_on("", 9, 0), "80-virtual");
}

}  // namespace halo::check
