#include "worker/train/epoch_summary.h"

#include <cmath>
#include <string>

#include "worker/train/value_fields.h"

namespace ferrun::train {

report::ConfusionMatrix confusion_of(const Evaluation& evaluation, const data::Split& split) {
  return report::ConfusionMatrix::make(split.train->classes(), evaluation.confusion).value();
}

EpochMetrics metrics_of(const TrainingState& state, double lr, const Evaluation& validation,
                        const report::ConfusionMatrix& confusion) {
  EpochMetrics metrics;
  metrics.epoch = state.epoch + 1;
  metrics.lr = lr;
  metrics.train_loss = state.sums.mean_loss();
  metrics.train_accuracy = state.sums.accuracy();
  metrics.val_loss = validation.sums.mean_loss();
  metrics.val_accuracy = validation.sums.accuracy();
  metrics.val_f1 = report::ClassMetrics::of(confusion).macro_f1;
  return metrics;
}

Status check_finite(const EpochMetrics& metrics) {
  if (std::isfinite(metrics.val_loss) && std::isfinite(metrics.train_loss)) return ok_status();
  const char* const which = std::isfinite(metrics.val_loss) ? "the training loss" : "the validation loss";
  return Error{ErrorKind::kUser, std::string(which) + " of epoch " + std::to_string(metrics.epoch) +
                                     " is not finite, at learning rate " + value_text(metrics.lr) +
                                     ": lower --lr; the last checkpoint is from before that"};
}

}  // namespace ferrun::train
