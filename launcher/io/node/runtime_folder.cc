#include "launcher/io/node/runtime_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ferrun {

namespace fs = std::filesystem;

namespace {

Error refused_folder(const fs::path& folder, const std::string& why) {
  return {ErrorKind::kPlatform, "cannot use the runtime folder " + folder.string() + ": " + why};
}

}  // namespace

std::vector<fs::path> runtime_folders(const Environment& environment) {
  std::vector<fs::path> folders;
  const std::string base = environment.get_or("XDG_RUNTIME_DIR", "");
  if (!base.empty()) folders.push_back(fs::path(base) / "ferrun");
  for (const char* shared : {"/tmp", "/dev/shm", "/var/tmp"}) {
    folders.push_back(fs::path(shared) / ("ferrun-" + std::to_string(geteuid())));
  }
  return folders;
}

Status make_runtime_folder(const fs::path& folder) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return refused_folder(folder, std::strerror(errno));
  return check_runtime_folder(folder);
}

Status check_runtime_folder(const fs::path& folder) {
  struct stat found {};
  if (lstat(folder.c_str(), &found) != 0) return refused_folder(folder, std::strerror(errno));
  if (!S_ISDIR(found.st_mode)) return refused_folder(folder, "it is no folder");
  if (found.st_uid != geteuid()) return refused_folder(folder, "it belongs to another user");
  if ((found.st_mode & 077) != 0) return refused_folder(folder, "others may enter it; it is to have mode 0700");
  return ok_status();
}

RuntimeFolder open_runtime_folder(const std::vector<fs::path>& folders) {
  RuntimeFolder opened;
  for (const fs::path& folder : folders) {
    // $XDG_RUNTIME_DIR after su, in a container: nothing to tell.
    if (access(folder.parent_path().c_str(), F_OK) != 0) continue;
    const Status made = make_runtime_folder(folder);
    if (made) {
      opened.path = folder;
      break;
    }
    opened.refused.push_back(made.error().message);
  }
  return opened;
}

}  // namespace ferrun
