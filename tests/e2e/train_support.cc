#include "tests/e2e/train_support.h"

#include <sstream>

#include "worker/checkpoint/reader.h"

namespace ferrun::testing {
namespace {

using checkpoint::Value;

Words operator+(Words left, const Words& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

bool has_variable(pid_t pid, const std::string& variable) {
  const std::string environment = read_file("/proc/" + std::to_string(pid) + "/environ");
  return ('\0' + environment).find('\0' + variable + '\0') != std::string::npos;
}

// What a tree of values holds, as text with the tensors' bytes in hexadecimal hashes; the launch's id left out.
void describe(const Value& value, const std::string& place, std::ostringstream& text) {
  if (const auto* const tensor = value.get<at::Tensor>()) {
    const at::Tensor plain = tensor->contiguous();
    const std::string bytes(static_cast<const char*>(plain.const_data_ptr()), plain.nbytes());
    text << place << " " << plain.toString() << plain.sizes() << " " << std::hash<std::string>()(bytes) << "\n";
  } else if (const auto* const dict = value.get<checkpoint::Dict>()) {
    for (const auto& [key, entry] : *dict) {
      const auto* const name = key.get<std::string>();
      const std::string word = name != nullptr ? *name : std::to_string(*key.get<int64_t>());
      if (word != "launch_id") {
        describe(entry, place + "/" + word, text);
      }
    }
  } else if (const auto* const list = value.get<checkpoint::List>()) {
    for (size_t i = 0; i < list->size(); ++i) {
      describe((*list)[i], place + "/" + std::to_string(i), text);
    }
  } else if (const auto* const tuple = value.get<checkpoint::Tuple>()) {
    for (const Value& item : tuple->items) {
      describe(item, place + "/()", text);
    }
  } else if (const auto* const number = value.get<double>()) {
    text << place << " " << std::hexfloat << *number << "\n";
  } else if (const auto* const whole = value.get<int64_t>()) {
    text << place << " " << *whole << "\n";
  } else if (const auto* const word = value.get<std::string>()) {
    text << place << " " << *word << "\n";
  } else if (const auto* const flag = value.get<bool>()) {
    text << place << " " << *flag << "\n";
  } else {
    text << place << " nothing\n";
  }
}

std::string content(const std::string& path) {
  const Result<Value> checkpoint = checkpoint::read(path);
  if (!checkpoint) {
    ADD_FAILURE() << checkpoint.error().message;
    return "";
  }
  std::ostringstream text;
  describe(*checkpoint, "", text);
  return text.str();
}

}  // namespace

Words Training::job(int ranks, const std::string& output, const Words& worker_options,
                    const Words& ferrun_options) const {
  return Words{FERRUN_BIN_DIR "/ferrun", "--nproc-per-node", std::to_string(ranks), "--log-dir",
               directory.file("logs")} +
         ferrun_options + Words{"worker"} + kTinyRun + Words{"--output-dir", directory.file(output)} + worker_options;
}

Words Training::worker(const Words& words) { return Words{FERRUN_BIN_DIR "/worker"} + words; }

std::string Training::run(const Words& command) const {
  Program program(command, options());
  const ExitStatus status = program.wait();
  EXPECT_TRUE(status.success()) << status.describe() << "\n" << program.out() << program.err();
  return program.out();
}

pid_t Training::worker_pid(int rank, int restart_count) const {
  pid_t found = 0;
  const bool there = eventually([&] {
    for (const pid_t pid : marker.processes()) {
      if (has_variable(pid, "RANK=" + std::to_string(rank)) &&
          has_variable(pid, "TORCHELASTIC_RESTART_COUNT=" + std::to_string(restart_count))) {
        found = pid;
      }
    }
    return found != 0;
  });
  EXPECT_TRUE(there) << "no worker of rank " << rank << " after " << restart_count << " restarts";
  return found;
}

double Training::computing_seconds(pid_t pid) {
  std::istringstream stat(read_file("/proc/" + std::to_string(pid) + "/schedstat"));
  double nanoseconds = 0.0;
  stat >> nanoseconds;
  return nanoseconds / 1e9;
}

void Training::expect_equal_outputs(const std::string& a, const std::string& b) const {
  EXPECT_EQ(read_file(path(a, "metrics.csv")), read_file(path(b, "metrics.csv")));
  EXPECT_EQ(content(path(a, "last_model.pt")), content(path(b, "last_model.pt")));
  for (const char* name : {"best_model.pt", "previous_best_model.pt"}) {
    EXPECT_TRUE(read_file(path(a, name)) == read_file(path(b, name))) << name << " differs";
  }
  EXPECT_FALSE(read_file(path(a, "best_model.pt")).empty());
}

}  // namespace ferrun::testing
