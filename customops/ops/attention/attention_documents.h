// Attention by documents on the CPU: where the documents of a row are runs of tokens, each is an attention of its own, and no score between two exists.
#pragma once

#include <algorithm>
#include <cstdint>
#include <unordered_set>
#include <vector>

#include "ops/attention/attention_heads.h"

namespace halo {

/// Tokens [first, first + count) of a row.
struct DocumentRun {
  int64_t first, count;
};

/// The runs of equal documents of a row of T tokens; none where some document has more than one.
inline std::vector<DocumentRun> document_runs(const int64_t* documents, int64_t tokens) {
  std::vector<DocumentRun> runs;
  std::unordered_set<int64_t> seen;
  for (int64_t first = 0, next = 0; first < tokens; first = next) {
    while (next < tokens && documents[next] == documents[first]) ++next;
    if (!seen.insert(documents[first]).second) return {};
    runs.push_back({first, next - first});
  }
  return runs;
}

/// The sizes of one batch row, or of a run of it.
inline AttentionSizes of_one_row(AttentionSizes sizes) {
  sizes.batch = 1;
  return sizes;
}

/// A run is taken together by head.
inline AttentionSizes of_run(AttentionSizes sizes, const DocumentRun& run) {
  sizes.layout = HeadLayout::kBhsd;
  sizes.batch = 1;
  sizes.queries = sizes.keys = run.count;
  return sizes;
}

/// Floats of scores that any run of a row may have at a time, with `buffers` of them for a pair: for short runs more pairs lie within the bound.
inline int64_t most_scores(const AttentionSizes& sizes, int64_t buffers, int64_t bound) {
  const int64_t pair = buffers * sizes.rows() * sizes.keys;
  return std::max(pair, std::min(bound, sizes.groups * pair));
}

/// Floats that hold n elements of T.
template <class T>
int64_t floats_of(int64_t n) {
  return (n * static_cast<int64_t>(sizeof(T)) + 3) / 4;
}

/// Calls f(offset in the batch row, offset in the run, elements) for the pieces of a run, (heads, count, dim), that lie together in its batch row.
template <class F>
void for_pieces(const HeadRows& row, const DocumentRun& run, F&& f) {
  const int64_t together = row.is_by_head() ? run.count : 1;
  for (int64_t h = 0; h < row.heads; ++h) {
    for (int64_t t = 0; t < run.count; t += together) f(row.offset(h, run.first + t), (h * run.count + t) * row.dim, together * row.dim);
  }
}

/// x of one batch row to and from the part of it that is a run.
template <class T>
const T* gather_run(const T* x, const HeadRows& row, const DocumentRun& run, float*& memory) {
  T* out = reinterpret_cast<T*>(memory);
  for_pieces(row, run, [&](int64_t from, int64_t to, int64_t count) { std::copy_n(x + from, count, out + to); });
  memory += floats_of<T>(row.heads * run.count * row.dim);
  return out;
}

template <class T>
void scatter_run(const T* x, const HeadRows& row, const DocumentRun& run, T* out) {
  for_pieces(row, run, [&](int64_t to, int64_t from, int64_t count) { std::copy_n(x + from, count, out + to); });
}

template <class T>
void fill_run(T* out, const HeadRows& row, const DocumentRun& run, T value) {
  for_pieces(row, run, [&](int64_t to, int64_t, int64_t count) { std::fill_n(out + to, count, value); });
}

/// logSumExp of one batch row, (H, T).
inline HeadRows sum_rows(const AttentionSizes& s) { return {HeadLayout::kBhsd, s.heads, s.queries, 1}; }

/// Memory for `count` elements of a result, or null where it is not asked for.
template <class T>
T* take(const T* wanted, int64_t count, float*& memory) {
  if (wanted == nullptr) return nullptr;
  T* out = reinterpret_cast<T*>(memory);
  memory += floats_of<T>(count);
  return out;
}

/// Calls f(row, mask, run) for each run of each batch row, where mask is that of the row, and whole(row, mask) for a row whose documents are no runs. A run
/// that the mask hides as a whole is hidden(row, run).
template <class F, class Hidden, class Whole>
void by_documents(const AttentionMask& given, const AttentionSizes& sizes, F&& f, Hidden&& hidden, Whole&& whole) {
  for (int64_t row = 0; row < sizes.batch; ++row) {
    AttentionMask mask = given;
    mask.documents = given.documents + row * sizes.keys;
    mask.mask = given.mask == nullptr ? nullptr : given.mask + row * sizes.keys;
    const std::vector<DocumentRun> runs = document_runs(mask.documents, sizes.keys);
    if (runs.empty() && sizes.keys > 0) whole(row, mask);
    for (const DocumentRun& run : runs) {
      AttentionMask own = mask;
      own.documents = nullptr;
      if (mask.mask != nullptr) {
        own.mask = mask.mask + run.first;
        if (std::all_of(own.mask, own.mask + run.count, [](int64_t kept) { return kept == 0; })) {
          hidden(row, run);
          continue;
        }
        if (std::all_of(own.mask, own.mask + run.count, [](int64_t kept) { return kept != 0; })) own.mask = nullptr;
      }
      f(row, own, run);
    }
  }
}

}  // namespace halo
