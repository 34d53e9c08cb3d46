// Where a worker's output goes, decided from --log-dir, --redirects, --tee and the attempt: a value.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace ferrun {

enum class Stream { kStdout, kStderr };

// The lines that all teed streams of one kind have in an attempt and that contain one of `texts`, in a file of their
// own.
struct LineFilterPlan {
  std::filesystem::path file;
  std::vector<std::string> texts;
};

struct LineFilterPlans {
  std::optional<LineFilterPlan> out;
  std::optional<LineFilterPlan> err;
};

struct StreamPlan {
  // The log file; none when the stream is neither redirected nor teed, or the log directory is /dev/null.
  std::optional<std::filesystem::path> file;
  // Copied to ferrun's own stdout or stderr, whole lines, each behind `prefix`.
  bool tee = false;
  std::string prefix;  // "[default0]:"
  bool inherited() const { return !file && !tee; }
};

struct WorkerLogPlan {
  StreamPlan out;
  StreamPlan err;
  // TORCHELASTIC_ERROR_FILE of this worker; empty when the log directory is /dev/null.
  std::filesystem::path error_file;
};

}  // namespace ferrun
