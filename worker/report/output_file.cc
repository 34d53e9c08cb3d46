#include "worker/report/output_file.h"

#include "common/io/small_file.h"
#include "worker/checkpoint/atomic_file.h"

namespace ferrun::report {

Status write_file(const std::string& path, std::span<const uint8_t> bytes) {
  return checkpoint::write_file_atomically(path, bytes);
}

Status write_file(const std::string& path, std::string_view text) {
  return write_file(path, std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

Result<std::string> read_file(const std::string& path) { return read_whole_file(path, size_t{256} << 20); }

}  // namespace ferrun::report
