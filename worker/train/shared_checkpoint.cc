#include "worker/train/shared_checkpoint.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/io/unique_fd.h"
#include "common/io/write_all.h"
#include "worker/checkpoint/reader.h"
#include "worker/train/checkpoint_content.h"

namespace ferrun::train {
namespace {

namespace fs = std::filesystem;

class DiskFacts final : public OutputFacts {
 public:
  bool is_directory(const std::string& path) const override {
    std::error_code ignored;
    return fs::is_directory(path, ignored);
  }
  bool exists(const std::string& path) const override {
    std::error_code ignored;
    return fs::exists(path, ignored);
  }
  bool same_file(const std::string& a, const std::string& b) const override {
    std::error_code ignored;
    return fs::equivalent(a, b, ignored);
  }
  std::string launch_of(const std::string& checkpoint) const override {
    if (!exists(checkpoint)) {
      return "";
    }
    const Result<checkpoint::Value> read = checkpoint::read(checkpoint);
    return read ? train::launch_of(*read) : "";
  }
};

// A file without a name, for a reader that wants a path.
Result<checkpoint::Value> read_from_memory(const std::string& bytes, const std::string& name) {
  const UniqueFd file(memfd_create("checkpoint", MFD_CLOEXEC));
  if (!file || !write_all(file.get(), bytes)) {
    return Error{ErrorKind::kPlatform, name + ": no memory for the checkpoint: " + std::strerror(errno)};
  }
  return checkpoint::read("/proc/self/fd/" + std::to_string(file.get()));
}

std::string file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return std::move(bytes).str();
}

}  // namespace

Status make_output_directory(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error || access(path.c_str(), W_OK) != 0) {
    return Error{ErrorKind::kUser,
                 "--output-dir: cannot write to " + path + ": " + (error ? error.message() : std::strerror(errno))};
  }
  return ok_status();
}

bool bring_best_along(const std::string& checkpoint, const std::string& directory) {
  std::error_code failed;
  const fs::path from = fs::path(checkpoint).parent_path() / kBestModel;
  const fs::path to = fs::path(directory) / kBestModel;
  if (fs::exists(to, failed)) return true;
  const fs::path beside = fs::path(directory) / (std::string(kBestModel) + ".copy");
  if (!fs::copy_file(from, beside, fs::copy_options::overwrite_existing, failed)) return false;
  fs::rename(beside, to, failed);
  return !failed;
}

std::variant<SharedStart, Ending> share_start(const OutputRequest& request, ddp::ProcessGroup& group) {
  const bool decides = group.rank() == 0;
  SharedStart start;
  Status status = ok_status();
  if (decides) {
    Result<OutputPlan> plan = plan_output(request, DiskFacts());
    if (plan) {
      start.plan = *plan;
    } else {
      status = plan.error();
    }
    if (plan && !plan->checkpoint.empty()) {
      Result<checkpoint::Value> value = checkpoint::read(plan->checkpoint);
      if (value) {
        start.checkpoint = std::move(*value);
      } else {
        status = value.error();
      }
    }
  }
  if (std::optional<Ending> failure = agree(group, status)) {
    return *failure;
  }
  start.plan.directory = group.broadcast_bytes(start.plan.directory);
  start.plan.checkpoint = group.broadcast_bytes(start.plan.checkpoint);
  start.plan.of_launch = !group.broadcast_bytes(start.plan.of_launch ? "yes" : "").empty();
  if (start.plan.checkpoint.empty()) {
    return start;
  }
  const std::string bytes = group.broadcast_bytes(decides ? file_bytes(start.plan.checkpoint) : "");
  if (!decides) {
    Result<checkpoint::Value> value = read_from_memory(bytes, start.plan.checkpoint);
    if (value) {
      start.checkpoint = std::move(*value);
    } else {
      status = value.error();
    }
  }
  if (std::optional<Ending> failure = agree(group, status)) {
    return *failure;
  }
  return start;
}

}  // namespace ferrun::train
