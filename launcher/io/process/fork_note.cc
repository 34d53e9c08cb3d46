// Recognises a program with a fork point by its ELF note. The file is the user's and may be anything: every offset and
// size is checked against the file before it is used, and never more than kMaxNoteBytes are read at once.
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "common/fork_protocol.h"
#include "common/io/unique_fd.h"
#include "launcher/io/process/process_launcher.h"

namespace ferrun {
namespace {

constexpr uint64_t kMaxNoteBytes = 64 * 1024;  // of one segment; real ones hold some hundred bytes
constexpr uint64_t kMaxSegments = 1024;

class ElfFile {
 public:
  // O_NONBLOCK: a FIFO of that name must not hold ferrun up.
  explicit ElfFile(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    struct stat status = {};
    if (fd_ && fstat(fd_.get(), &status) == 0 && S_ISREG(status.st_mode)) size_ = static_cast<uint64_t>(status.st_size);
  }

  // Whether all `bytes` at `offset` lie in the file and were read.
  bool read(uint64_t offset, void* to, uint64_t bytes) const {
    if (offset > size_ || bytes > size_ - offset) return false;
    auto* at = static_cast<char*>(to);
    while (bytes > 0) {
      const ssize_t n = pread(fd_.get(), at, bytes, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;  // truncated meanwhile
      at += n;
      offset += static_cast<uint64_t>(n);
      bytes -= static_cast<uint64_t>(n);
    }
    return true;
  }

 private:
  UniqueFd fd_;
  uint64_t size_ = 0;
};

bool is_native_elf(const Elf64_Ehdr& header) {
  constexpr unsigned char kByteOrder = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
  return std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64 &&
         header.e_ident[EI_DATA] == kByteOrder && (header.e_type == ET_EXEC || header.e_type == ET_DYN) &&
         header.e_phentsize == sizeof(Elf64_Phdr) && header.e_phnum <= kMaxSegments;
}

// Whether a note segment's contents hold ferrun's. Names and descriptions are padded to 4 bytes each; in a segment that
// is aligned to 8, to 8.
bool holds_fork_note(std::string_view notes, uint64_t alignment) {
  const uint64_t unit = alignment == 8 ? 8 : 4;
  const auto padded = [unit](uint64_t size) { return (size + unit - 1) / unit * unit; };
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr note;
    std::memcpy(&note, notes.data(), sizeof note);
    const uint64_t name_end = sizeof note + uint64_t{note.n_namesz};
    if (name_end > notes.size()) return false;
    const std::string_view name = notes.substr(sizeof note, note.n_namesz);
    if (note.n_type == kForkNoteType && name == std::string_view(kForkNoteName.data(), kForkNoteName.size() + 1))
      return true;
    const uint64_t next = padded(padded(name_end) + note.n_descsz);
    if (next >= notes.size()) return false;
    notes.remove_prefix(next);
  }
  return false;
}

}  // namespace

bool has_fork_point(const std::string& path) {
  const ElfFile file(path);
  Elf64_Ehdr header;
  if (!file.read(0, &header, sizeof header) || !is_native_elf(header)) return false;
  std::string notes;
  for (uint64_t index = 0; index < header.e_phnum; ++index) {
    Elf64_Phdr segment;
    // A wrapped sum is beyond the file or fails the magic of a note; read() checks the range either way.
    if (!file.read(header.e_phoff + index * sizeof segment, &segment, sizeof segment)) return false;
    if (segment.p_type != PT_NOTE || segment.p_filesz > kMaxNoteBytes) continue;
    notes.resize(segment.p_filesz);
    if (file.read(segment.p_offset, notes.data(), notes.size()) && holds_fork_note(notes, segment.p_align)) return true;
  }
  return false;
}

}  // namespace ferrun
