// The worker's commands. Each returns how it ended; whatever LibTorch throws comes out as an exception.
#pragma once

#include <memory>

#include "worker/client/ferrun/client.h"
#include "worker/ddp/process_group.h"
#include "worker/train/ending.h"
#include "worker/train/options.h"

namespace ferrun::train {

// What a command leaves for the explanation of an exception: the group, once there is one.
struct CommandContext {
  client::Context worker;
  std::shared_ptr<ddp::ProcessGroup> group;
};

Ending run_train(const TrainOptions& options, CommandContext& context);
Ending run_eval(const EvalOptions& options, CommandContext& context);
Ending run_predict(const PredictOptions& options, CommandContext& context);
Ending run_export(const ExportOptions& options);
Ending run_make_data(const MakeDataOptions& options);
Ending run_report(const ReportOptions& options, const CommandContext& context);

}  // namespace ferrun::train
