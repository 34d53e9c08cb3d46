// A file that appears under its name complete and durable, or not at all.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/byte_sink.h"
#include "worker/checkpoint/file_system.h"

namespace ferrun::checkpoint {

// Bytes are written to a temporary file in the same folder; commit() makes them durable and renames it over `path`.
// Where `path` is a link, the file that it points to is meant; a device, a pipe or a socket is refused (kUser).
// Destroyed without commit() the temporary file is removed and `path` is as it was. A killed process leaves its
// temporary file, `<name>.tmp-…`, which the next AtomicFile for the same path removes: one writer at a time. Not
// thread-safe.
class AtomicFile final : public ByteSink {
 public:
  explicit AtomicFile(std::string path, FileSystem& files = machine_file_system());
  ~AtomicFile() override;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  Status open();
  Status write(std::span<const uint8_t> bytes) override;
  // With `previous_path` the file that stood at `path` stays reachable there (where the file system has hard links),
  // unless the new one has the same bytes: saving once more what a killed process had saved changes neither.
  // There is no moment at which `path` is missing.
  Status commit(const std::optional<std::string>& previous_path = std::nullopt);

 private:
  Status flush();
  Status write_through(std::span<const uint8_t> bytes);
  void keep_previous(const std::string& previous_path);
  void remove_leftovers();
  Status failed(const std::string& action, ssize_t result) const;

  std::string path_;
  std::string folder_;
  std::string temporary_;  // empty when there is none
  FileSystem& files_;
  int descriptor_ = -1;
  std::vector<uint8_t> buffer_;
};

// A whole file at once. At the file-size limit it is a failure like any other, and no signal.
Status write_file_atomically(const std::string& path, std::span<const uint8_t> bytes);

}  // namespace ferrun::checkpoint
