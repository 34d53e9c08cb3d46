#include "worker/checkpoint/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace ferrun::checkpoint {
namespace {

template <typename Call>
auto without_interruption(Call&& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result < 0 ? decltype(result){-errno} : result;
}

class MachineFileSystem final : public FileSystem {
 public:
  int create(const std::string& path) override {
    return without_interruption([&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
  }
  ssize_t write(int descriptor, const void* data, size_t length) override {
    return without_interruption([&] { return ::write(descriptor, data, length); });
  }
  int sync(int descriptor) override {
    return without_interruption([&] { return ::fsync(descriptor); });
  }
  // Linux frees the descriptor even when close is interrupted, so it must not be called again.
  int close(int descriptor) override { return ::close(descriptor) < 0 && errno != EINTR ? -errno : 0; }
  int rename(const std::string& from, const std::string& to) override {
    return ::rename(from.c_str(), to.c_str()) < 0 ? -errno : 0;
  }
  int link(const std::string& existing, const std::string& added) override {
    return ::link(existing.c_str(), added.c_str()) < 0 ? -errno : 0;
  }
  int unlink(const std::string& path) override { return ::unlink(path.c_str()) < 0 ? -errno : 0; }

  int sync_folder(const std::string& folder) override {
    const int descriptor =
        without_interruption([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (descriptor < 0) return descriptor;
    const int synced = sync(descriptor);
    close(descriptor);
    // Some network file systems cannot sync a folder and say so; there is nothing better to do on them.
    return synced == -EINVAL ? 0 : synced;
  }

  std::vector<std::string> list(const std::string& folder, const std::string& prefix) override {
    std::vector<std::string> names;
    DIR* stream = ::opendir(folder.c_str());
    if (stream == nullptr) return names;
    while (const dirent* entry = ::readdir(stream)) {
      const std::string name = entry->d_name;
      if (name.compare(0, prefix.size(), prefix) == 0) names.push_back(name);
    }
    ::closedir(stream);
    return names;
  }
};

}  // namespace

FileSystem& machine_file_system() {
  static MachineFileSystem files;
  return files;
}

}  // namespace ferrun::checkpoint
