// The pickle of plain values, opcode by opcode: protocol 2, each text and each class written once. Free of LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "worker/checkpoint/pickle_opcodes.h"

namespace ferrun::checkpoint::pickle {

class PickleEmitter {
 public:
  PickleEmitter();

  void opcode(Opcode code) { out_.push_back(static_cast<char>(code)); }
  void none() { opcode(kNone); }
  void truth(bool value) { opcode(value ? kNewTrue : kNewFalse); }
  void integer(int64_t value);
  void real(double value);
  void text(const std::string& text);
  // A class or a function: module and name.
  void global(std::string_view module, std::string_view name);
  // A tuple of `count` items, which `write_items` writes.
  template <typename WriteItems>
  void tuple(size_t count, WriteItems&& write_items) {
    if (count == 0) return opcode(kEmptyTuple);
    if (count > 3) opcode(kMark);
    write_items();
    constexpr Opcode kBySize[] = {kTuple1, kTuple2, kTuple3};
    opcode(count > 3 ? kTuple : kBySize[count - 1]);
  }
  void integers(const std::vector<int64_t>& numbers) {
    tuple(numbers.size(), [&] {
      for (const int64_t number : numbers) integer(number);
    });
  }

  // Ends the pickle.
  std::string finish();

 private:
  template <size_t Width>
  void number(uint64_t value) {
    for (size_t i = 0; i < Width; ++i) out_.push_back(static_cast<char>(value >> (8 * i)));
  }
  // Writes what `write` writes the first time, and a reference to it afterwards.
  template <typename Write>
  void remembered(const std::string& key, Write&& write);

  std::string out_;
  std::unordered_map<std::string, uint32_t> memo_;
};

}  // namespace ferrun::checkpoint::pickle
