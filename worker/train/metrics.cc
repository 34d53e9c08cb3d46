#include "worker/train/metrics.h"

#include <cstdio>

namespace ferrun::train {

std::string metrics_csv(const std::vector<EpochMetrics>& epochs) {
  std::string csv = "epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy\n";
  for (const EpochMetrics& epoch : epochs) {
    char row[160];
    std::snprintf(row, sizeof row, "%lld,%.6g,%.6f,%.6f,%.6f,%.6f\n", static_cast<long long>(epoch.epoch), epoch.lr,
                  epoch.train_loss, epoch.train_accuracy, epoch.val_loss, epoch.val_accuracy);
    csv += row;
  }
  return csv;
}

}  // namespace ferrun::train
