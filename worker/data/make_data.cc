#include "worker/data/make_data.h"

#include <stdlib.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "worker/data/image_file.h"

namespace ferrun::data {
namespace {

namespace fs = std::filesystem;

constexpr int kQuality = 95;

Error write_error(const fs::path& path, const std::string& reason) {
  return Error{ErrorKind::kPlatform, path.string() + ": cannot be written: " + reason};
}

// A folder that is deleted with all it holds, unless it was moved away.
class PendingFolder {
 public:
  // Beside `target`, so that the final rename stays within one file system.
  static Result<fs::path> make(const fs::path& target) {
    std::string pattern = (target.parent_path() / ("." + target.filename().string() + ".XXXXXX")).string();
    if (::mkdtemp(pattern.data()) == nullptr) return write_error(target, std::strerror(errno));
    return fs::path(pattern);
  }
  explicit PendingFolder(fs::path path) : path_(std::move(path)) {}
  ~PendingFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  PendingFolder(const PendingFolder&) = delete;
  PendingFolder& operator=(const PendingFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

Status write_file(const fs::path& path, const std::vector<uint8_t>& bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wbe");
  if (file == nullptr) return write_error(path, std::strerror(errno));
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  const int write_code = errno;
  // A full disk may show only when the buffer is flushed.
  if (std::fclose(file) != 0 || !written) return write_error(path, std::strerror(written ? errno : write_code));
  return ok_status();
}

Result<int64_t> write_split(const Dataset& faces, const fs::path& folder) {
  std::error_code error;
  for (const std::string& name : faces.classes()) {
    fs::create_directories(folder / name, error);
    if (error) return write_error(folder / name, error.message());
  }
  Image image;
  MemoryLease unlimited;
  for (int64_t index = 0; index < faces.size(); ++index) {
    if (Status drawn = faces.load_into(index, image, unlimited); !drawn) return drawn.error();
    const Result<std::vector<uint8_t>> bytes = encode_jpeg(image, kQuality);
    if (!bytes) return bytes.error();
    // The name ends in "/CLASS/NNNN".
    const fs::path name(faces.name(index));
    const fs::path path = folder / name.parent_path().filename() / (name.filename().string() + ".jpg");
    if (Status written = write_file(path, bytes.value()); !written) return written.error();
  }
  return faces.size();
}

// Whether the tree may go to `target`: it is absent or an empty directory, or may be replaced.
Status check_target(const fs::path& target, bool replace) {
  std::error_code error;
  const fs::file_status status = fs::status(target, error);
  if (!fs::exists(status)) {
    if (fs::is_directory(target.parent_path(), error)) return ok_status();
    return Error{ErrorKind::kUser, target.parent_path().string() + ": no such directory; make it first"};
  }
  if (!fs::is_directory(status)) return Error{ErrorKind::kUser, target.string() + ": exists and is not a directory"};
  const bool empty = fs::is_empty(target, error);
  if (error) return Error{ErrorKind::kUser, target.string() + ": cannot be listed: " + error.message()};
  if (!empty && !replace) {
    return Error{ErrorKind::kUser,
                 target.string() + ": exists and is not empty; choose another directory, or --overwrite to replace it"};
  }
  return ok_status();
}

// Puts `made` in the place of `target`; what was there moves into `attic` first.
Status move_into_place(const fs::path& made, const fs::path& target, const fs::path& attic) {
  std::error_code error;
  if (fs::exists(target, error)) {
    fs::rename(target, attic, error);
    if (error) return write_error(target, error.message());
  }
  fs::rename(made, target, error);
  if (!error) return ok_status();
  std::error_code ignored;
  fs::rename(attic, target, ignored);
  return write_error(target, error.message());
}

}  // namespace

Result<MakeDataReport> write_image_folder(const std::string& directory, const DrawnFacesOptions& options,
                                          bool replace) {
  std::error_code error;
  // Absolute and without a trailing slash, so that it has a parent and a name. A link to a directory is followed.
  fs::path target = fs::weakly_canonical(fs::absolute(directory), error);
  if (error || target.empty()) return Error{ErrorKind::kUser, directory + ": no such directory can be made"};
  if (!target.has_filename()) target = target.parent_path();
  if (Status allowed = check_target(target, replace); !allowed) return allowed.error();

  const Result<fs::path> temporary = PendingFolder::make(target);
  if (!temporary) return temporary.error();
  const PendingFolder pending(temporary.value());
  const fs::path tree = pending.path() / "new";
  const Split split = DrawnFaces::make(options);
  const Result<int64_t> train = write_split(*split.train, tree / "train");
  if (!train) return train.error();
  const Result<int64_t> val = write_split(*split.val, tree / "val");
  if (!val) return val.error();
  if (Status moved = move_into_place(tree, target, pending.path() / "old"); !moved) return moved.error();
  return MakeDataReport{train.value(), val.value()};
}

}  // namespace ferrun::data
