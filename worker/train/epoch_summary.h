// What an epoch came to, from what was counted in it.
#pragma once

#include "common/result.h"
#include "worker/data/dataset.h"
#include "worker/report/class_metrics.h"
#include "worker/train/evaluation.h"
#include "worker/train/metrics.h"
#include "worker/train/training_state.h"

namespace ferrun::train {

report::ConfusionMatrix confusion_of(const Evaluation& evaluation, const data::Split& split);

// Of the state's epoch, which was trained at the learning rate `lr` and then validated.
EpochMetrics metrics_of(const TrainingState& state, double lr, const Evaluation& validation,
                        const report::ConfusionMatrix& confusion);

// Failure: a loss that is not finite, in one line with what helps.
Status check_finite(const EpochMetrics& metrics);

}  // namespace ferrun::train
