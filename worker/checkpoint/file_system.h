// The system calls that saving a checkpoint makes, as an interface: tests fail or count each of them in turn.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

namespace ferrun::checkpoint {

// Every call returns what the system call returns, but a negative errno on failure. EINTR never comes out.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  // A new file for writing, mode 0666 less the umask; -EEXIST when the path is taken.
  virtual int create(const std::string& path) = 0;
  virtual ssize_t write(int descriptor, const void* data, size_t length) = 0;
  virtual int sync(int descriptor) = 0;
  // The descriptor is gone afterwards, also on failure.
  virtual int close(int descriptor) = 0;
  virtual int rename(const std::string& from, const std::string& to) = 0;
  virtual int link(const std::string& existing, const std::string& added) = 0;
  virtual int unlink(const std::string& path) = 0;
  // Makes the folder's entries (renames and links in it) durable.
  virtual int sync_folder(const std::string& folder) = 0;
  // The names in a folder that begin with `prefix`; none when it cannot be read.
  virtual std::vector<std::string> list(const std::string& folder, const std::string& prefix) = 0;
};

// The machine's own file system. Stateless, for any thread.
FileSystem& machine_file_system();

}  // namespace ferrun::checkpoint
