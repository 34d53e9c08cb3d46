#include "launcher/io/logs/job_folders.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "launcher/logs/log_layout.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;

Error folder_error(const fs::path& folder, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EMFILE || error == ENFILE;
  return Error{full ? ErrorKind::kPlatform : ErrorKind::kUser, "cannot make the log folder " + folder.string() + ": " +
                                                                   std::generic_category().message(error) +
                                                                   "; choose another one with --log-dir"};
}

Status make_folder(const fs::path& folder, mode_t mode) {
  if (mkdir(folder.c_str(), mode) == 0) return ok_status();
  const int error = errno;
  struct stat what {};
  if (error == EEXIST && stat(folder.c_str(), &what) == 0 && S_ISDIR(what.st_mode)) return ok_status();
  return folder_error(folder, error == EEXIST ? ENOTDIR : error);
}

Status make_with_parents(const fs::path& folder, mode_t mode) {
  fs::path made;
  for (const fs::path& part : folder) {
    made /= part;
    if (made.filename().empty()) continue;  // the root, or a slash at the end
    if (Status done = make_folder(made, mode); !done) return done;
  }
  return ok_status();
}

}  // namespace

Status JobFolders::make_job_folder() {
  if (Status base = make_with_parents(output_.base, output_.temporary ? 0700 : 0777); !base) return base;
  return output_.wants_only_error_files() ? ok_status() : make_folder(job_folder(output_), 0700);
}

Status JobFolders::make_worker_folder(int attempt, int local_rank) {
  const fs::path folder = worker_folder(output_, attempt, local_rank);
  if (folder.empty()) return ok_status();
  if (Status parent = make_folder(folder.parent_path(), 0777); !parent) return parent;
  return make_folder(folder, 0777);
}

void JobFolders::remove_empty(int last_attempt, int workers) {
  if (!output_.wants_only_error_files()) {
    for (int attempt = 0; attempt <= last_attempt; ++attempt) {
      for (int rank = 0; rank < workers; ++rank) rmdir(worker_folder(output_, attempt, rank).c_str());
      rmdir(worker_folder(output_, attempt, 0).parent_path().c_str());
    }
    rmdir(job_folder(output_).c_str());
  }
  rmdir(output_.base.c_str());
}

}  // namespace ferrun
