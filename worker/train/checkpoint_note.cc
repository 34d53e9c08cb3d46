#include "worker/train/checkpoint_note.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <functional>

#include "common/io/small_file.h"
#include "common/io/unique_fd.h"
#include "common/io/write_all.h"

namespace ferrun::train {

// A path may be longer than a file's name.
CheckpointNote::CheckpointNote(const std::string& launch_dir, const std::string& output_directory)
    : folder_(launch_dir),
      file_(launch_dir + "/checkpoint-" + std::to_string(std::hash<std::string>{}(output_directory))) {}

std::optional<std::string> CheckpointNote::saved_on() const {
  if (folder_.empty()) return std::nullopt;
  const SmallFile note = read_small_file(file_, HOST_NAME_MAX);
  if (note.state != SmallFile::State::kRead) return std::nullopt;
  return note.bytes;
}

Status CheckpointNote::leave(const std::string& host) const {
  if (folder_.empty()) return ok_status();
  mkdir(folder_.c_str(), 0700);  // another worker's attempt may have made it
  const UniqueFd file(open(file_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file && write_all(file.get(), host)) return ok_status();
  return Error{ErrorKind::kPlatform, "cannot write " + file_ + ": " + std::strerror(errno)};
}

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = {};
  return gethostname(name, HOST_NAME_MAX) == 0 ? name : "";
}

}  // namespace ferrun::train
