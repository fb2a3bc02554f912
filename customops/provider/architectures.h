// Which GPUs the kernels were compiled for.
#pragma once

#include <string_view>

namespace halo::cuda {

/// HALO_CUDA_ARCHITECTURES of the build, commas between: "89, 90a".
#ifdef HALO_CUDA_BUILT_FOR
inline constexpr std::string_view kBuiltFor = HALO_CUDA_BUILT_FOR;
#endif

/// Whether kernels compiled for `list` run on a GPU of compute capability `major`.`minor`. As CMake and nvcc have it: "90a" on 9.0 alone; "100f" on 10.0 and
/// later ones of 10; "89-real" on 8.9 and later ones of 8; "89" and "89-virtual" on every later one, which compiles them at first use.
constexpr bool runs_on(std::string_view list, int major, int minor) {
  while (!list.empty()) {
    const size_t end = list.find(',') == std::string_view::npos ? list.size() : list.find(',');
    const std::string_view one = list.substr(0, end);
    list.remove_prefix(end == list.size() ? end : end + 1);
    int number = 0;
    size_t at = one.find_first_not_of(' ');
    for (; at < one.size() && one[at] >= '0' && one[at] <= '9'; ++at) number = 10 * number + (one[at] - '0');
    const std::string_view kind = at < one.size() ? one.substr(at) : std::string_view();
    const int found = 10 * major + minor;
    const bool is_family = number / 10 == major && found >= number;
    if (number == 0) continue;
    if (kind.starts_with('a') ? found == number : (kind.starts_with('f') || kind == "-real" ? is_family : found >= number)) return true;
  }
  return false;
}

}  // namespace halo::cuda
