#include "rendezvous/io/coordinator/state_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <utility>

#include "common/io/small_file.h"
#include "common/io/unique_fd.h"
#include "common/io/write_all.h"
#include "rendezvous/coordinator/coordinator_state_codec.h"
#include "rendezvous/io/net/detached_task.h"

namespace ferrun {
namespace {

// Bigger than any state of a job of 10,000 nodes.
constexpr size_t kMostBytes = 64 << 20;

UniqueFd open_file(const std::string& path, int flags) {
  return UniqueFd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
}

std::string cannot(const char* what, const std::string& path) {
  return std::string("cannot ") + what + " " + path + ": " + std::strerror(errno);
}

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

std::string replace_file(const std::string& path, const std::string& text) {
  const std::string beside = path + ".new";
  {
    const UniqueFd file = open_file(beside, O_WRONLY | O_CREAT | O_TRUNC);
    if (!file) return cannot("create", beside);
    if (!write_all(file.get(), text)) return cannot("write", beside);
    if (::fsync(file.get()) != 0) return cannot("sync", beside);
  }
  if (std::rename(beside.c_str(), path.c_str()) != 0) return cannot("replace", path);
  const std::string folder = folder_of(path);
  const UniqueFd directory = open_file(folder, O_RDONLY | O_DIRECTORY);
  // Some file systems cannot sync a folder, and need not.
  if (directory && ::fsync(directory.get()) != 0 && errno != EINVAL) return cannot("sync", folder);
  return "";
}

struct StateFile::Impl : std::enable_shared_from_this<Impl> {
  struct Job {
    std::string text;
    OnSaved on_saved;
  };

  Impl(boost::asio::io_context& io_context, std::string to) : io(io_context), path(std::move(to)) {}

  void begin() {
    const auto error = std::make_shared<std::string>();
    auto work = [error, to = path, text = std::move(jobs.front().text)] { *error = replace_file(to, text); };
    auto started = DetachedTask::start(io, std::move(work), [self = shared_from_this(), error] { self->end(*error); });
    if (started.ok()) {
      task = *started;
    } else {
      boost::asio::post(io, [self = shared_from_this(), why = started.error().message] { self->end(why); });
    }
  }

  void end(const std::string& error) {
    task.reset();
    if (jobs.empty()) return;  // the owner is gone
    const OnSaved tell = std::move(jobs.front().on_saved);
    jobs.pop_front();
    if (!jobs.empty()) begin();
    tell(error);
  }

  boost::asio::io_context& io;
  const std::string path;
  std::deque<Job> jobs;  // the first one is under way
  std::shared_ptr<DetachedTask> task;
};

StateFile::StateFile(boost::asio::io_context& io, std::string path)
    : impl_(std::make_shared<Impl>(io, std::move(path))) {}

StateFile::~StateFile() {
  impl_->jobs.clear();
  if (impl_->task) impl_->task->abandon();
}

void StateFile::save(std::string text, OnSaved on_saved) {
  impl_->jobs.push_back({std::move(text), std::move(on_saved)});
  if (impl_->jobs.size() == 1) impl_->begin();
}

Result<std::optional<std::string>> StateFile::read(const std::string& path) {
  SmallFile file = read_small_file(path, kMostBytes);
  switch (file.state) {
    case SmallFile::State::kRead: return std::optional(std::move(file.bytes));
    case SmallFile::State::kAbsent: return std::optional<std::string>();
    default: return Error{ErrorKind::kUser, "cannot read " + path + ": " + file.problem};
  }
}

Result<std::optional<CoordinatorState>> load_state(const std::string& path) {
  const Result<std::optional<std::string>> text = StateFile::read(path);
  const auto unusable = [](const Error& why) {
    return Error{ErrorKind::kUser, "cannot be used (" + why.message + ")"};
  };
  if (!text.ok()) return unusable(text.error());
  if (!*text) return std::optional<CoordinatorState>();
  const Result<CoordinatorState> state = decode_state(**text);
  if (!state.ok()) return unusable(state.error());
  return std::optional(*state);
}

}  // namespace ferrun
