#include "worker/train/early_stopping.h"

namespace ferrun::train {

const char* name_of(Monitor monitor) {
  switch (monitor) {
    case Monitor::kAccuracy: return "val_accuracy";
    case Monitor::kLoss: return "val_loss";
    case Monitor::kF1: return "val_f1";
  }
  return "";
}

}  // namespace ferrun::train
