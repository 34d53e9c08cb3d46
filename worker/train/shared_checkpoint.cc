#include "worker/train/shared_checkpoint.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "worker/checkpoint/archive_reader.h"
#include "worker/checkpoint/reader.h"
#include "worker/train/broadcast_source.h"
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
  // Without reading its tensors.
  std::string launch_of(const std::string& checkpoint) const override {
    const Result<std::unique_ptr<checkpoint::ByteSource>> file = checkpoint::open_file_source(checkpoint);
    if (!file) return "";
    const Result<checkpoint::Archive> archive = checkpoint::open_archive(**file);
    return archive ? train::launch_of(archive->tree) : "";
  }
};

// Where the run writes and, if it continues one, the checkpoint's file.
Status plan_and_open(const OutputRequest& request, OutputPlan& plan, std::unique_ptr<checkpoint::ByteSource>& file) {
  Result<OutputPlan> made = plan_output(request, DiskFacts());
  if (!made) return made.error();
  plan = std::move(*made);
  if (plan.checkpoint.empty()) return ok_status();
  Result<std::unique_ptr<checkpoint::ByteSource>> opened = checkpoint::open_file_source(plan.checkpoint);
  if (!opened) return Error{opened.error().kind, "checkpoint " + plan.checkpoint + " " + opened.error().message};
  file = std::move(*opened);
  return ok_status();
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
  SharedStart start;
  std::unique_ptr<checkpoint::ByteSource> file;
  const Status opened = group.rank() == 0 ? plan_and_open(request, start.plan, file) : ok_status();
  if (std::optional<Ending> failure = agree(group, opened)) return *failure;
  start.plan.directory = group.broadcast_bytes(start.plan.directory);
  start.plan.checkpoint = group.broadcast_bytes(start.plan.checkpoint);
  start.plan.of_launch = !group.broadcast_bytes(start.plan.of_launch ? "yes" : "").empty();
  if (start.plan.checkpoint.empty()) return start;
  const BroadcastSource source(std::move(file), group);
  Result<checkpoint::Value> value = checkpoint::read(source, start.plan.checkpoint);
  if (std::optional<Ending> failure = agree(group, value ? ok_status() : Status(value.error()))) return *failure;
  start.checkpoint = std::move(*value);
  return start;
}

}  // namespace ferrun::train
