// Decides where a training run writes and which checkpoint it continues from. Pure: what is on the disk comes in as
// facts.
//
// The rule behind it: a run never overwrites a checkpoint that it did not load, unless --overwrite allows it; and a
// restarted worker continues from its own launch's checkpoint, never from another's.
#pragma once

#include <optional>
#include <string>

#include "common/result.h"

namespace ferrun::train {

// As the value of --resume: the checkpoint of output_dir if there is one, else begin. What a scheduler starts again, it
// starts with the same command line.
inline constexpr const char* kResumeIfThere = "auto";

// The request, from the command line and the launcher.
struct OutputRequest {
  std::string output_dir;             // empty: not given
  std::optional<std::string> resume;  // empty text: the checkpoint of output_dir; kResumeIfThere
  bool overwrite = false;
  std::string launch_id;   // empty without a launcher
  std::string fresh_name;  // a name for a new directory where there is no launch id ("20260728-101500-4711")
};

struct OutputPlan {
  std::string directory;
  std::string checkpoint;  // to load; empty: begin afresh
  bool of_launch = false;  // the checkpoint is an earlier attempt's of this launch
};

// What the plan needs to know of the disk.
class OutputFacts {
 public:
  virtual ~OutputFacts() = default;
  virtual bool is_directory(const std::string& path) const = 0;
  virtual bool exists(const std::string& path) const = 0;
  // Both exist and are one file.
  virtual bool same_file(const std::string& a, const std::string& b) const = 0;
  // The launch that wrote the checkpoint; empty when there is none or it cannot be read.
  virtual std::string launch_of(const std::string& checkpoint) const = 0;
};

constexpr const char* kLastModel = "last_model.pt";
constexpr const char* kBestModel = "best_model.pt";
constexpr const char* kPreviousBest = "previous_best_model.pt";  // the one before the last improvement
constexpr const char* kMetricsFile = "metrics.csv";
constexpr const char* kCurvesFile = "accuracy_and_loss.png";
constexpr const char* kTestFile = "test.json";
constexpr const char* kConfusionFile = "confusion_matrix.png";
constexpr const char* kTensorBoardFolder = "tensorboard";

// Failure (kUsage): one line that says what is in the way and which flag helps.
Result<OutputPlan> plan_output(const OutputRequest& request, const OutputFacts& facts);

// Directory and name joined by one slash.
std::string join_path(const std::string& directory, const std::string& name);

}  // namespace ferrun::train
