#include "worker/checkpoint/pickle_emitter.h"

#include <bit>
#include <limits>
#include <utility>

namespace ferrun::checkpoint::pickle {

PickleEmitter::PickleEmitter() {
  opcode(kProto);
  number<1>(kProtocol);
}

void PickleEmitter::integer(int64_t value) {
  if (value >= 0 && value <= std::numeric_limits<uint8_t>::max()) {
    opcode(kBinInt1);
    number<1>(static_cast<uint64_t>(value));
  } else if (value >= 0 && value <= std::numeric_limits<uint16_t>::max()) {
    opcode(kBinInt2);
    number<2>(static_cast<uint64_t>(value));
  } else if (value == static_cast<int32_t>(value)) {
    opcode(kBinInt);
    number<4>(static_cast<uint64_t>(value));
  } else {
    opcode(kLong1);
    number<1>(8);
    number<8>(static_cast<uint64_t>(value));
  }
}

void PickleEmitter::real(double value) {
  opcode(kBinFloat);
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  for (int shift = 56; shift >= 0; shift -= 8) out_.push_back(static_cast<char>(bits >> shift));
}

void PickleEmitter::text(const std::string& text) {
  remembered("s" + text, [&] {
    opcode(kBinUnicode);
    number<4>(text.size());
    out_ += text;
  });
}

void PickleEmitter::global(std::string_view module, std::string_view name) {
  const std::string lines = std::string(module) + "\n" + std::string(name) + "\n";
  remembered("g" + lines, [&] {
    opcode(kGlobal);
    out_ += lines;
  });
}

template <typename Write>
void PickleEmitter::remembered(const std::string& key, Write&& write) {
  const auto [found, is_new] = memo_.emplace(key, static_cast<uint32_t>(memo_.size()));
  const uint32_t index = found->second;
  const bool is_short = index <= std::numeric_limits<uint8_t>::max();
  if (is_new) write();
  opcode(is_new ? (is_short ? kBinPut : kLongBinPut) : (is_short ? kBinGet : kLongBinGet));
  is_short ? number<1>(index) : number<4>(index);
}

std::string PickleEmitter::finish() {
  opcode(kStop);
  return std::move(out_);
}

}  // namespace ferrun::checkpoint::pickle
