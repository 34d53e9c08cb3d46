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
    const std::optional<Error>& first = train.first_skipped() ? train.first_skipped() : val.first_skipped();
    std::fprintf(stderr, "worker: rank %d has skipped %lld broken pictures so far, first: %s\n", rank_,
                 static_cast<long long>(skipped), first ? first->message.c_str() : "");
  }

 private:
  int rank_;
  int64_t shown_ = 0;
};

}  // namespace ferrun::train
