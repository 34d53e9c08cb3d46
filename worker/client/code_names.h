// The names of functions by their addresses, for a process that is about to die: nothing here allocates, locks, or
// calls what is not async-signal-safe. Names are those of the symbol tables of the program and its libraries, as the
// linker knows them (mangled).
#pragma once

#include <cstddef>
#include <cstdint>

namespace ferrun::client {

// Text of bounded size. What does not fit is left out.
class FixedText {
 public:
  FixedText(char* bytes, size_t capacity) : bytes_(bytes), capacity_(capacity) {}

  void add(const char* text);
  void add(const char* text, size_t size);
  void add_number(unsigned long number);
  void add_hex(uint64_t number);
  // As the inside of a JSON string.
  void add_escaped(const char* text);

  const char* data() const { return bytes_; }
  size_t size() const { return size_; }

 private:
  char* bytes_;
  size_t capacity_;
  size_t size_ = 0;
};

// Adds "name+0x12 (/path/of/program+0x1234)" for the code at `address`, or what is known of that; the inside of a JSON
// string. The number behind the path is what addr2line takes.
void add_code_name(FixedText& text, uintptr_t address);

}  // namespace ferrun::client
