#include "comm/launched_ranks.h"

#include <dirent.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>

#include "common/integer_text.h"

namespace halo::comm {

namespace {

/// The value of a variable in an environment as the kernel gives it, entries that end with a zero; "" where there is none.
std::string variable(const std::string& environment, const std::string& name) {
  for (size_t begin = 0; begin < environment.size();) {
    const size_t end = environment.find('\0', begin), length = (end == std::string::npos ? environment.size() : end) - begin;
    if (environment.compare(begin, name.size() + 1, name + '=') == 0) return environment.substr(begin + name.size() + 1, length - name.size() - 1);
    begin += length + 1;
  }
  return "";
}

std::string text_of(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

}  // namespace

int launched_rank() { return integer_of<int>(text_of("PMIX_RANK")).value_or(-1); }

std::vector<LaunchedRank> launched_ranks() {
  const std::string job = text_of("PMIX_NAMESPACE");
  std::map<int, Process> found;
  DIR* processes = job.empty() ? nullptr : opendir("/proc");
  if (processes == nullptr) return {};
  while (const dirent* entry = readdir(processes)) {
    const auto id = integer_of<int64_t>(entry->d_name);
    if (!id.has_value()) continue;
    std::ifstream file("/proc/" + std::to_string(*id) + "/environ", std::ios::binary);
    const std::string environment((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (variable(environment, "PMIX_NAMESPACE") != job) continue;
    const auto rank = integer_of<int>(variable(environment, "PMIX_RANK"));
    Process process = Process::own();
    process.id = *id;
    if (rank.has_value() && (found.count(*rank) == 0 || process.state() == 'T')) found[*rank] = process;
  }
  closedir(processes);
  std::vector<LaunchedRank> ranks;
  for (const auto& [rank, process] : found) ranks.push_back({rank, process});
  return ranks;
}

}  // namespace halo::comm
