// Processes of ranks, to see which of them have ended.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>

namespace halo::comm {

/// A process of some machine.
struct Process {
  char machine[256] = {};
  int64_t id = 0;

  static Process own() {
    Process process;
    static_cast<void>(gethostname(process.machine, sizeof process.machine - 1));
    process.id = getpid();
    return process;
  }

  /// The kernel's letter: R, S, D, T where it is stopped, Z where it has ended and nobody has noticed; 0 where there is none.
  char state() const {
    std::ifstream file("/proc/" + std::to_string(id) + "/stat");
    std::string text;
    if (!std::getline(file, text)) return 0;
    const size_t name_end = text.rfind(')');  // the name may hold anything
    return name_end + 2 < text.size() ? text[name_end + 2] : 0;
  }
  /// Of the same machine as another.
  bool is_beside(const Process& other) const { return std::strcmp(machine, other.machine) == 0; }
};

/// "rank 2 (process 4711, which is stopped)", as far as can be seen from `own`.
inline std::string describe(int rank, const Process& process, const Process& own) {
  const std::string text = "rank " + std::to_string(rank);
  if (!process.is_beside(own)) return text;
  return text + " (process " + std::to_string(process.id) + (process.state() == 'T' ? ", which is stopped)" : ")");
}

}  // namespace halo::comm
