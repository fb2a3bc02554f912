// Which keys a query of an attention sees.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/head_layout.h"

namespace halo {

struct AttentionSizes {
  int64_t batch, heads, groups, queries, keys, dim;  // B, H, G, T, S, D; H is a multiple of G
  HeadLayout layout = HeadLayout::kBhsd;             // of all tensors with heads

  /// Of Q, Y and their gradients; of K, V and theirs.
  HeadStrides query_strides() const { return head_strides(layout, heads, queries, dim); }
  HeadStrides key_strides() const { return head_strides(layout, groups, keys, dim); }

  /// A pair is a batch row with one of its key/value heads.
  int64_t pairs() const { return batch * groups; }

  /// Queries that read the keys of one pair: those of H / G heads, which lie one behind the other.
  int64_t rows() const { return heads / groups * queries; }

  /// Pairs worked on together: `buffers` times their scores take at most `bound` floats, or there is one of them.
  int64_t pairs_at_once(int64_t buffers, int64_t bound) const {
    return std::clamp<int64_t>(bound / std::max<int64_t>(1, buffers * rows() * keys), 1, std::max<int64_t>(1, pairs()));
  }
};

/// What hides keys: mask (B, S), where 0 hides a key; documents (B, T), of which a query sees its own; either may be null. Causal: key j <= query i.
/// Window, of causal ones alone: key j > query i - window; 0: all keys before.
struct AttentionMask {
  const int64_t* mask = nullptr;
  const int64_t* documents = nullptr;
  bool causal = true;
  int64_t window = 0;
};

/// A key is visible if it lies within the query's bounds and has the query's code: the number of its document, or -1 where it is masked.
class Visibility {
 public:
  Visibility(const AttentionMask& given, const AttentionSizes& sizes)
      : causal_(given.causal), window_(given.window), queries_(sizes.queries), keys_(sizes.keys) {
    if (given.mask == nullptr && given.documents == nullptr) return;
    key_codes_.resize(static_cast<size_t>(sizes.batch * keys_));
    query_codes_.resize(static_cast<size_t>(sizes.batch * queries_));
    for (int64_t b = 0; b < sizes.batch; ++b) {
      if (given.documents != nullptr) number(given.documents + b * keys_, key_codes_.data() + b * keys_, query_codes_.data() + b * queries_);
      for (int64_t j = 0; given.mask != nullptr && j < keys_; ++j) {
        if (given.mask[b * keys_ + j] == 0) key_codes_[static_cast<size_t>(b * keys_ + j)] = -1;
      }
    }
  }

  /// Keys [0, first) and [prefix, S) are hidden from query i.
  int64_t first(int64_t query) const { return window_ > 0 ? std::max<int64_t>(0, query + 1 - window_) : 0; }
  int64_t prefix(int64_t query) const { return causal_ ? query + 1 : keys_; }

  /// False where these bounds are all there is to it.
  bool has_codes() const { return !key_codes_.empty(); }
  const int32_t* key_codes(int64_t batch) const { return key_codes_.data() + batch * keys_; }
  int32_t query_code(int64_t batch, int64_t query) const { return query_codes_[static_cast<size_t>(batch * queries_ + query)]; }

 private:
  /// Any int64 may name a document; its rank among those of the row is its code. Here queries are keys.
  void number(const int64_t* documents, int32_t* key_codes, int32_t* query_codes) const {
    std::vector<int64_t> names(documents, documents + keys_);
    std::sort(names.begin(), names.end());
    for (int64_t j = 0; j < keys_; ++j) {
      key_codes[j] = query_codes[j] = static_cast<int32_t>(std::lower_bound(names.begin(), names.end(), documents[j]) - names.begin());
    }
  }

  bool causal_;
  int64_t window_, queries_, keys_;
  std::vector<int32_t> key_codes_, query_codes_;  // (B, S), (B, T)
};

}  // namespace halo
