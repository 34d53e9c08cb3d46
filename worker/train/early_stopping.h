// ddp::EarlyStopping by the trainer's own numbers. Usable without the trainer.
#pragma once

#include <cstdint>
#include <string>

#include "worker/ddp/early_stopping.h"

namespace ferrun::train {

enum class Monitor { kAccuracy, kLoss, kF1 };

// "val_accuracy", "val_loss", "val_f1".
const char* name_of(Monitor monitor);

struct EarlyStopping : ddp::EarlyStopping {
  Monitor monitor = Monitor::kAccuracy;

  bool improved_by(double value, int64_t epoch) {
    larger_is_better = monitor != Monitor::kLoss;
    return ddp::EarlyStopping::improved_by(value, epoch);
  }
  std::string reason() const { return ddp::EarlyStopping::reason(name_of(monitor)); }
  bool operator==(const EarlyStopping&) const = default;
};

}  // namespace ferrun::train
