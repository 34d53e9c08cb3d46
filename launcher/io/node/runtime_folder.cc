#include "launcher/io/node/runtime_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ferrun {

std::filesystem::path runtime_folder(const Environment& environment) {
  const std::string base = environment.get_or("XDG_RUNTIME_DIR", "");
  if (!base.empty()) return std::filesystem::path(base) / "ferrun";
  return "/tmp/ferrun-" + std::to_string(geteuid());
}

Status make_runtime_folder(const std::filesystem::path& folder) {
  const auto refused = [&folder](const std::string& why) {
    return Error{ErrorKind::kPlatform, "cannot use the runtime folder " + folder.string() + ": " + why};
  };
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return refused(std::strerror(errno));
  struct stat found {};
  if (lstat(folder.c_str(), &found) != 0) return refused(std::strerror(errno));
  if (!S_ISDIR(found.st_mode)) return refused("it is no folder");
  if (found.st_uid != geteuid()) return refused("it belongs to another user");
  if ((found.st_mode & 077) != 0) return refused("others may enter it; it is to have mode 0700");
  return ok_status();
}

}  // namespace ferrun
