#include <numeric>

#include "comm/communicator.h"

namespace halo::comm {

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::kAllGather:
      return "AllGatherStart";
    case Kind::kReduceScatter:
      return "ReduceScatterStart";
    case Kind::kAllReduce:
      return "AllReduceStart";
    default:
      return "AllToAllStart";
  }
}

std::vector<int64_t> even_parts(int64_t elements, int parts) {
  std::vector<int64_t> counts(static_cast<size_t>(parts), elements / parts);
  for (int64_t i = 0; i < elements % parts; ++i) ++counts[static_cast<size_t>(i)];
  return counts;
}

int64_t Collective::total() const { return std::accumulate(counts.begin(), counts.end(), int64_t{0}); }

int64_t Collective::offset(int member) const { return std::accumulate(counts.begin(), counts.begin() + member, int64_t{0}); }

size_t Collective::x_bytes() const { return static_cast<size_t>((kind == Kind::kAllGather ? own() : total()) * size_of(type)); }

size_t Collective::y_bytes() const {
  const bool has_own = kind == Kind::kReduceScatter || kind == Kind::kAllToAll;
  const int64_t elements = has_own ? own() * (kind == Kind::kAllToAll ? static_cast<int64_t>(counts.size()) : 1) : total();
  return static_cast<size_t>(elements * size_of(type));
}

int64_t Collective::sent_bytes() const {
  const auto others = static_cast<int64_t>(counts.size()) - 1;
  int64_t elements = 0;
  if (kind != Kind::kAllGather) elements += total() - own();
  if (kind == Kind::kAllGather || kind == Kind::kAllReduce) elements += own() * others;
  return elements * size_of(type);
}

std::string Collective::text() const {
  return std::string(name_of(kind)) + " '" + node + "' (" + halo::name_of(type) + ", " + std::to_string(total()) + " elements, group " + group + ")";
}

uint64_t Collective::digest() const {
  uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a
  const auto add = [&](const void* data, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001B3u;
  };
  const std::string words = text();
  const int is_max = reduction == Reduction::kMax ? 1 : 0;
  add(words.data(), words.size());
  add(&is_max, sizeof is_max);
  add(counts.data(), counts.size() * sizeof(int64_t));
  return hash;
}

}  // namespace halo::comm
