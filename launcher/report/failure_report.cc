#include "launcher/report/failure_report.h"

#include <algorithm>

#include "common/printable_text.h"

namespace ferrun {
namespace {

constexpr size_t kMessageLines = 20;
constexpr size_t kStackLines = 40;
constexpr size_t kCrashFrames = 16;

// The newest `most` lines, each indented; says how many were left out.
void append_block(std::vector<std::string>& out, const std::vector<std::string>& lines, size_t most) {
  const size_t skipped = lines.size() > most ? lines.size() - most : 0;
  if (skipped > 0) out.push_back("    (" + std::to_string(skipped) + " lines before)");
  for (size_t at = skipped; at < lines.size(); ++at) out.push_back("    " + printable(lines[at]));
}

// The first `most` lines.
void append_beginning(std::vector<std::string>& out, const char* title, const std::vector<std::string>& lines,
                      size_t most) {
  out.emplace_back(title);
  for (size_t at = 0; at < std::min(lines.size(), most); ++at) out.push_back("    " + printable(lines[at]));
  if (lines.size() > most) out.push_back("    (" + std::to_string(lines.size() - most) + " lines more)");
}

// What the error file says. Its traceback only where no stderr shows the same; that of a crash (ferrun::client), which
// nothing else shows and whose first frame says most, always.
void append_error(std::vector<std::string>& out, const ErrorFile& error, bool has_stderr) {
  if (error.state == ErrorFile::State::kUnreadable) {
    out.push_back("  error:  its error file cannot be read: " + error.problem);
  }
  if (error.state != ErrorFile::State::kRead) return;
  const std::vector<std::string> message = lines_of(error.message);
  if (message.size() <= 1) {
    out.push_back("  error:  " +
                  (message.empty() ? "(its error file holds an empty message)" : printable(message.front())));
  } else if (error.is_beginning) {
    append_beginning(out, "  error:", message, kMessageLines);
  } else {
    out.push_back("  error:");
    append_block(out, message, kMessageLines);
  }
  if (error.is_beginning) out.push_back("    (its error file is too large to be read whole: this is its beginning)");
  if (error.is_crash()) return append_beginning(out, "  backtrace:", lines_of(error.callstack), kCrashFrames);
  if (has_stderr || error.callstack.empty()) return;
  out.push_back("  traceback:");
  append_block(out, lines_of(error.callstack), kStackLines);
}

}  // namespace

std::vector<std::string> evidence_lines(const WorkerEvidence& evidence, const std::filesystem::path& stderr_file,
                                        bool stderr_inherited) {
  std::vector<std::string> out;
  if (!evidence.out_of_memory.empty()) out.push_back("  memory: " + printable(evidence.out_of_memory));
  for (const std::string& line : evidence.device) out.push_back("  device: " + printable(line));
  if (!evidence.timer.empty()) out.push_back("  timer:  " + printable(evidence.timer));
  append_error(out, evidence.error, !evidence.stderr_tail.empty());
  if (stderr_inherited) {
    out.push_back("  stderr: went to ferrun's own; --tee=2 or --redirects=2 keeps it and shows its last lines here");
    return out;
  }
  if (!stderr_file.empty()) out.push_back("  log:    " + printable(stderr_file.string()));
  if (evidence.stderr_tail.empty()) {
    out.push_back("  stderr: nothing was written to it");
    return out;
  }
  out.push_back("  stderr, its last lines:");
  append_block(out, evidence.stderr_tail, evidence.stderr_tail.size());
  return out;
}

std::string restarts_hint(int max_restarts) {
  if (max_restarts == 0) return "Hint: --max-restarts=N starts all workers again after a failure; it is 0.";
  if (max_restarts == 1) return "The one restart (--max-restarts) is spent.";
  return "All " + std::to_string(max_restarts) + " restarts (--max-restarts) are spent.";
}

std::string describe_rank(const WorkerRecord& worker, int first_rank) {
  const std::string rank = std::to_string(first_rank + worker.local_rank);
  std::string text = "rank " + rank + " (local_rank " + std::to_string(worker.local_rank);
  if (worker.pid != 0) text += ", pid " + std::to_string(worker.pid);
  return text + ")";
}

std::string describe_worker(const WorkerRecord& worker, int first_rank) {
  const std::string rank = describe_rank(worker, first_rank);
  if (worker.start_error) return rank + " did not start: " + worker.start_error->message;
  return rank + " " + (worker.status ? worker.status->describe() : "is still running");
}

}  // namespace ferrun
