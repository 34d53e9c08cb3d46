// Tells when more broken pictures were left out (--bad-images=skip): a count that grew is worth a line, and each rank
// knows its own.
#pragma once

#include <cstdio>

#include "worker/train/sharded_loader.h"

namespace ferrun::train {

class SkippedPictures {
 public:
  explicit SkippedPictures(int rank) : rank_(rank) {}

  void show(const ShardedLoader& train, const ShardedLoader& val) {
    const int64_t skipped = train.skipped() + val.skipped();
    if (skipped <= shown_) return;
    shown_ = skipped;
    tell(skipped, " so far", train.first_skipped() ? train.first_skipped() : val.first_skipped());
  }
  // Of pictures that are gone through once.
  void show(const ShardedLoader& all) const {
    if (all.skipped() > 0) tell(all.skipped(), "", all.first_skipped());
  }

 private:
  void tell(int64_t skipped, const char* when, const std::optional<Error>& first) const {
    std::fprintf(stderr, "worker: rank %d has skipped %lld broken picture%s%s, first: %s\n", rank_,
                 static_cast<long long>(skipped), skipped == 1 ? "" : "s", when, first ? first->message.c_str() : "");
  }

  int rank_;
  int64_t shown_ = 0;
};

}  // namespace ferrun::train
