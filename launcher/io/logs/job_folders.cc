#include "launcher/io/logs/job_folders.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <system_error>
#include <utility>

#include "common/io/write_all.h"
#include "launcher/io/logs/log_files.h"
#include "launcher/logs/log_layout.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;

// Somebody else's job may remove a folder that is empty just now.
constexpr int kTries = 3;
constexpr const char* kLatestLink = "latest";

Error folder_error(const JobFolders::Failure& failure) {
  const auto& [folder, error] = failure;
  const bool full = error == ENOSPC || error == EDQUOT || error == EMFILE || error == ENFILE;
  return Error{full ? ErrorKind::kPlatform : ErrorKind::kUser, "cannot make the log folder " + folder.string() + ": " +
                                                                   std::generic_category().message(error) +
                                                                   "; choose another one with --log-dir"};
}

bool is_below(const fs::path& path, const fs::path& folder) {
  const auto [end, rest] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return end == folder.end() && rest != path.end();
}

}  // namespace

JobFolders::Attempt JobFolders::prepare(int attempt, const std::vector<WorkerLogPlan>& plans,
                                        const LineFilterPlans& filters) {
  Attempt made;
  made_again_ = false;
  newest_.clear();
  if (output_.wants_files()) made.folder = make_job_folder();
  if (!made.folder) return made;
  for (int rank = 0; rank < static_cast<int>(plans.size()); ++rank) {
    made.workers.push_back(open_streams(attempt, rank, plans[static_cast<size_t>(rank)]));
  }
  if (Result<Streams> filtered = open_filters(filters)) {
    made.filtered = std::move(*filtered);
  } else {
    made.folder = filtered.error();
  }
  made.made_again = made_again_;
  return made;
}

Status JobFolders::make_job_folder() {
  const fs::path folder = job_folder(output_);
  if (seen_.empty() && !output_.temporary) note_modes();
  std::optional<Failure> failed = make(folder);
  for (int tries = 1; failed && failed->error == ENOENT && tries < kTries; ++tries) failed = make(folder);
  if (failed) return folder_error(*failed);
  if (!output_.temporary && !std::exchange(pointed_at_, true)) point_at_latest();
  return ok_status();
}

// Replaced as a whole, so that a reader finds the one or the other. Whatever else has that name stays, and a folder
// without links has none.
void JobFolders::point_at_latest() const {
  const fs::path link = output_.base / kLatestLink;
  struct stat what {};
  if (lstat(link.c_str(), &what) == 0 && !S_ISLNK(what.st_mode)) return;
  const fs::path beside = output_.base / ("." + output_.job_folder + "." + kLatestLink);
  if (symlink(output_.job_folder.c_str(), beside.c_str()) != 0) return;
  if (rename(beside.c_str(), link.c_str()) != 0) unlink(beside.c_str());
}

// Of a job whose folder did not stay.
void JobFolders::unpoint_latest() const {
  const fs::path link = output_.base / kLatestLink;
  std::error_code failed;
  if (fs::read_symlink(link, failed) != fs::path(output_.job_folder) || failed) return;
  if (!fs::exists(job_folder(output_), failed) && !failed) unlink(link.c_str());
}

Status JobFolders::write_report(const std::string& bytes) const {
  const fs::path path = job_folder(output_) / "report.json";
  const fs::path beside = path.string() + ".part";
  const auto fail = [&path](int error) {
    return Error{ErrorKind::kPlatform, "cannot write " + path.string() + ": " + std::generic_category().message(error)};
  };
  const UniqueFd file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!file && (errno == ENOENT || errno == ENOTDIR)) return ok_status();  // no logs to be beside of
  if (!file) return fail(errno);
  if (write_all(file.get(), bytes) && rename(beside.c_str(), path.c_str()) == 0) return ok_status();
  const int error = errno;
  unlink(beside.c_str());
  return fail(error);
}

Result<JobFolders::Streams> JobFolders::open_streams(int attempt, int local_rank, const WorkerLogPlan& plan) {
  if (const fs::path folder = worker_folder(output_, attempt, local_rank); !folder.empty()) {
    if (const std::optional<Failure> failed = make(folder)) return folder_error(*failed);
  }
  for (const StreamPlan* stream : {&plan.out, &plan.err}) {
    if (stream->file) newest_.emplace_back(*stream->file);
  }
  Result<UniqueFd> out = plan.out.file ? open_file(*plan.out.file) : UniqueFd();
  if (!out) return out.error();
  Result<UniqueFd> err = plan.err.file ? open_file(*plan.err.file) : UniqueFd();
  if (!err) return err.error();
  return Streams{std::move(*out), std::move(*err)};
}

Result<JobFolders::Streams> JobFolders::open_filters(const LineFilterPlans& filters) {
  Result<UniqueFd> out = filters.out ? open_file(filters.out->file) : UniqueFd();
  if (!out) return out.error();
  Result<UniqueFd> err = filters.err ? open_file(filters.err->file) : UniqueFd();
  if (!err) return err.error();
  return Streams{std::move(*out), std::move(*err)};
}

Result<UniqueFd> JobFolders::open_file(const fs::path& path) {
  if (output_.temporary && is_below(path, output_.base)) files_.push_back(path);
  return open_log_file(path);
}

// With its parents. Each call costs a short job: parents that are known to be there, or are not this job's, are not
// asked after unless the folder cannot be made.
std::optional<JobFolders::Failure> JobFolders::make(const fs::path& folder) {
  const fs::path parent = folder.parent_path();
  if (!seen_.contains(parent) && (parent == output_.base || is_below(parent, output_.base))) {
    if (std::optional<Failure> failed = make(parent)) return failed;
  }
  std::optional<Failure> failed = make_one(folder);
  if (!failed || failed->error != ENOENT || parent == folder) return failed;
  if (std::optional<Failure> above = make(parent)) return above;
  return make_one(folder);
}

std::optional<JobFolders::Failure> JobFolders::make_one(const fs::path& folder) {
  const auto before = seen_.find(folder);
  if (mkdir(folder.c_str(), mode_of(folder)) == 0) {
    if (before == seen_.end()) {
      made_.push_back(folder);
      seen_[folder] = std::nullopt;
    } else {
      made_again_ = true;
      if (before->second) chmod(folder.c_str(), *before->second);
    }
    return std::nullopt;
  }
  if (errno != EEXIST) return Failure{folder, errno};
  struct stat what {};
  if (stat(folder.c_str(), &what) != 0) return Failure{folder, errno};
  if (!S_ISDIR(what.st_mode)) return Failure{folder, ENOTDIR};
  seen_.try_emplace(folder, what.st_mode & 07777);
  return std::nullopt;
}

// Of what is there before the job: should it be cleaned away, it is made again as it was.
void JobFolders::note_modes() {
  fs::path part;
  for (const fs::path& name : output_.base) {
    part /= name;
    struct stat what {};
    if (stat(part.c_str(), &what) != 0) return;
    if (S_ISDIR(what.st_mode)) seen_.try_emplace(part, what.st_mode & 07777);
  }
}

mode_t JobFolders::mode_of(const fs::path& folder) const {
  const fs::path job = job_folder(output_);
  if (is_below(folder, job)) return 0777;
  return folder == job || output_.temporary ? 0700 : 0777;
}

// What is no plain file is somebody's mistake, and stays.
void JobFolders::remove_notes() {
  const fs::path folder = launch_folder(output_);
  std::error_code failed;
  fs::directory_iterator note(folder, failed);
  if (failed) return;
  for (; !failed && note != fs::directory_iterator(); note.increment(failed)) {
    std::error_code ignored;
    if (fs::is_regular_file(note->symlink_status(ignored))) fs::remove(note->path(), ignored);
  }
  rmdir(folder.c_str());
}

void JobFolders::forgo_newest() { std::ranges::move(std::exchange(newest_, {}), std::back_inserter(files_)); }

void JobFolders::remove_empty() {
  if (output_.wants_files()) remove_notes();
  for (const fs::path& file : files_) {
    struct stat what {};
    if (lstat(file.c_str(), &what) == 0 && S_ISREG(what.st_mode) && what.st_size == 0) unlink(file.c_str());
  }
  const fs::path job = job_folder(output_);
  for (auto folder = made_.rbegin(); folder != made_.rend(); ++folder) {
    rmdir(folder->c_str());
    if (pointed_at_ && *folder == job) unpoint_latest();  // before the folder that it lies in
  }
}

}  // namespace ferrun
