#include "worker/report/output_file.h"

#include <memory>

#include "worker/checkpoint/atomic_file.h"
#include "worker/checkpoint/byte_source.h"

namespace ferrun::report {

Status write_file(const std::string& path, std::span<const uint8_t> bytes) {
  checkpoint::AtomicFile file(path);
  if (Status opened = file.open(); !opened) return opened;
  if (Status written = file.write(bytes); !written) return written;
  return file.commit();
}

Status write_file(const std::string& path, std::string_view text) {
  return write_file(path, std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

Result<std::string> read_file(const std::string& path) {
  constexpr uint64_t kMostBytes = uint64_t{256} << 20;
  const Result<std::unique_ptr<checkpoint::ByteSource>> source = checkpoint::open_file_source(path);
  if (!source) return Error{source.error().kind, path + ": " + source.error().message};
  const uint64_t size = (*source)->size();
  if (size > kMostBytes) return Error{ErrorKind::kUser, path + " is larger than 256 MiB"};
  std::string text(size, '\0');
  if (Status read = (*source)->read_at(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()}); !read) {
    return Error{read.error().kind, path + ": " + read.error().message};
  }
  return text;
}

}  // namespace ferrun::report
