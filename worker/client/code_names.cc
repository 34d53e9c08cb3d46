#include "worker/client/code_names.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ferrun::client {
namespace {

// Which file is mapped at an address, and which of its bytes.
struct MappedCode {
  char path[1024] = {};
  uint64_t offset = 0;
};

// Reads /proc/self/maps line by line; a longer line is cut.
class MapsReader {
 public:
  MapsReader() : fd_(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC)) {}
  ~MapsReader() {
    if (fd_ >= 0) ::close(fd_);
  }
  MapsReader(const MapsReader&) = delete;
  MapsReader& operator=(const MapsReader&) = delete;

  bool next(char* line, size_t capacity) {
    size_t size = 0;
    for (;;) {
      if (at_ == end_ && !fill()) break;
      const char c = buffer_[at_++];
      if (c == '\n') {
        line[size] = '\0';
        return true;
      }
      if (size + 1 < capacity) line[size++] = c;
    }
    line[size] = '\0';
    return size > 0;
  }

 private:
  bool fill() {
    ssize_t count = -1;
    do {
      count = fd_ < 0 ? 0 : ::read(fd_, buffer_, sizeof buffer_);
    } while (count < 0 && errno == EINTR);
    at_ = 0;
    end_ = count > 0 ? static_cast<size_t>(count) : 0;
    return end_ > 0;
  }

  int fd_;
  char buffer_[4096];
  size_t at_ = 0;
  size_t end_ = 0;
};

uint64_t take_hex(const char*& text) {
  uint64_t number = 0;
  for (;; ++text) {
    const char c = *text;
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return number;
    number = number * 16 + static_cast<uint64_t>(digit);
  }
}

// "55d0c7a00000-55d0c7a21000 r-xp 00002000 fe:00 1234      /usr/bin/program"
bool find_mapping(uintptr_t address, MappedCode& found) {
  MapsReader maps;
  char line[sizeof found.path + 128];
  while (maps.next(line, sizeof line)) {
    const char* text = line;
    const uint64_t begin = take_hex(text);
    if (*text++ != '-') continue;
    const uint64_t end = take_hex(text);
    if (address < begin || address >= end) continue;
    if (std::strlen(text) < 6) return false;
    text += 6;  // " r-xp "
    found.offset = take_hex(text) + (address - begin);
    const char* const path = std::strchr(text, '/');
    if (path == nullptr) return false;
    std::strncpy(found.path, path, sizeof found.path - 1);
    return true;
  }
  return false;
}

// A whole file in memory, read only.
class MappedFile {
 public:
  explicit MappedFile(const char* path) {
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return;
    struct stat what {};
    if (::fstat(fd, &what) == 0 && S_ISREG(what.st_mode) && what.st_size > 0) {
      void* const bytes = ::mmap(nullptr, static_cast<size_t>(what.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
      if (bytes != MAP_FAILED) {
        bytes_ = static_cast<const char*>(bytes);
        size_ = static_cast<size_t>(what.st_size);
      }
    }
    ::close(fd);
  }
  ~MappedFile() {
    if (bytes_ != nullptr) ::munmap(const_cast<char*>(bytes_), size_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Null where they are not all there.
  template <typename Item>
  const Item* items(uint64_t offset, uint64_t count = 1) const {
    const bool inside = offset <= size_ && count <= (size_ - offset) / sizeof(Item);
    return inside && offset % alignof(Item) == 0 ? reinterpret_cast<const Item*>(bytes_ + offset) : nullptr;
  }

 private:
  const char* bytes_ = nullptr;
  size_t size_ = 0;
};

struct Symbol {
  char name[512] = {};
  uint64_t distance = 0;  // of the address from its beginning
};

// The address that the linker gave to a byte of the file.
bool linked_address(const MappedFile& file, const Elf64_Ehdr& header, uint64_t offset, uint64_t& address) {
  const auto* const segments = file.items<Elf64_Phdr>(header.e_phoff, header.e_phnum);
  for (int at = 0; segments != nullptr && at < header.e_phnum; ++at) {
    const Elf64_Phdr& segment = segments[at];
    if (segment.p_type != PT_LOAD || offset < segment.p_offset || offset - segment.p_offset >= segment.p_filesz)
      continue;
    address = segment.p_vaddr + (offset - segment.p_offset);
    return true;
  }
  return false;
}

bool find_in_table(const MappedFile& file, const Elf64_Shdr& table, const Elf64_Shdr& strings, uint64_t address,
                   Symbol& found) {
  const uint64_t count = table.sh_size / sizeof(Elf64_Sym);
  const auto* const symbols = file.items<Elf64_Sym>(table.sh_offset, count);
  const char* const names = file.items<char>(strings.sh_offset, strings.sh_size);
  if (symbols == nullptr || names == nullptr) return false;
  for (uint64_t at = 0; at < count; ++at) {
    const Elf64_Sym& symbol = symbols[at];
    const bool is_code = ELF64_ST_TYPE(symbol.st_info) == STT_FUNC || ELF64_ST_TYPE(symbol.st_info) == STT_GNU_IFUNC;
    if (!is_code || symbol.st_shndx == SHN_UNDEF || symbol.st_name >= strings.sh_size) continue;
    if (address < symbol.st_value || address - symbol.st_value >= symbol.st_size) continue;
    const uint64_t room = strings.sh_size - symbol.st_name;
    std::strncpy(found.name, names + symbol.st_name, room < sizeof found.name - 1 ? room : sizeof found.name - 1);
    found.distance = address - symbol.st_value;
    return true;
  }
  return false;
}

// The full table where the file has one, else that of what it exports.
bool find_symbol(const MappedFile& file, const Elf64_Ehdr& header, uint64_t address, Symbol& found) {
  const auto* const sections = file.items<Elf64_Shdr>(header.e_shoff, header.e_shnum);
  if (sections == nullptr) return false;
  constexpr uint32_t kTables[] = {SHT_SYMTAB, SHT_DYNSYM};
  for (const uint32_t kind : kTables) {
    for (int at = 0; at < header.e_shnum; ++at) {
      const Elf64_Shdr& table = sections[at];
      if (table.sh_type != kind || table.sh_link >= header.e_shnum) continue;
      if (find_in_table(file, table, sections[table.sh_link], address, found)) return true;
    }
  }
  return false;
}

}  // namespace

void FixedText::add(const char* text) { add(text, std::strlen(text)); }

void FixedText::add(const char* text, size_t size) {
  if (size > capacity_ - size_) return;
  std::memcpy(bytes_ + size_, text, size);
  size_ += size;
}

void FixedText::add_number(unsigned long number) {
  char digits[24];
  size_t at = sizeof digits;
  do {
    digits[--at] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number > 0);
  add(digits + at, sizeof digits - at);
}

void FixedText::add_hex(uint64_t number) {
  char digits[16];
  size_t at = sizeof digits;
  do {
    digits[--at] = "0123456789abcdef"[number % 16];
    number /= 16;
  } while (number > 0);
  add("0x");
  add(digits + at, sizeof digits - at);
}

void FixedText::add_escaped(const char* text) {
  for (; *text != '\0'; ++text) {
    const auto byte = static_cast<unsigned char>(*text);
    if (byte == '"' || byte == '\\') {
      add("\\");
      add(text, 1);
    } else if (byte < 0x20 || byte >= 0x7f) {
      add("?");
    } else {
      add(text, 1);
    }
  }
}

void add_code_name(FixedText& text, uintptr_t address) {
  MappedCode code;
  if (!find_mapping(address, code)) {
    text.add("?? (");
    text.add_hex(address);
    return text.add(")");
  }
  const MappedFile file(code.path);
  const auto* const header = file.items<Elf64_Ehdr>(0);
  uint64_t linked = code.offset;
  Symbol symbol;
  bool known = false;
  if (header != nullptr && std::memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 &&
      header->e_ident[EI_CLASS] == ELFCLASS64) {
    known = linked_address(file, *header, code.offset, linked) && find_symbol(file, *header, linked, symbol);
  }
  text.add_escaped(known ? symbol.name : "??");
  if (known) {
    text.add("+");
    text.add_hex(symbol.distance);
  }
  text.add(" (");
  text.add_escaped(code.path);
  text.add("+");
  text.add_hex(linked);
  text.add(")");
}

}  // namespace ferrun::client
