// Output that does not lie in memory, but can be fetched when its turn has come. Pure: a promise, see LogCatchUp.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "launcher/logs/log_loss.h"

namespace ferrun {

class LogSource {
 public:
  struct Piece {
    LogLoss taken;     // how far the output was fetched, as its writer wrote it
    std::string text;  // what is to be written for it
  };

  virtual ~LogSource() = default;

  // At least one and at most `most` of the next bytes; may wait for them. None when they cannot be had, now or later.
  virtual std::optional<Piece> next(size_t most) = 0;
};

}  // namespace ferrun
