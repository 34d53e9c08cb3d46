#include "rendezvous/store/store_codec.h"

#include <array>
#include <bit>
#include <cstring>

#include "common/printable_text.h"

namespace ferrun {
namespace {

static_assert(std::endian::native == std::endian::little, "the protocol's integers are the host's, little-endian");

// The fields after the operation byte: k = key, v = value, n = 64-bit number, w = 32-bit word. A list is preceded by a
// 64-bit count of its items.
struct Shape {
  std::string_view fields;
  bool list = false;
};

constexpr std::array<Shape, kStoreOpCount> kShapes = {{
    {"w"},         // kValidate
    {"kv"},        // kSet
    {"kvv"},       // kCompareSet
    {"k"},         // kGet
    {"kn"},        // kAdd
    {"k", true},   // kCheck
    {"k", true},   // kWait
    {""},          // kGetNumKeys
    {"k"},         // kDeleteKey
    {"kv"},        // kAppend
    {"k", true},   // kMultiGet
    {"kv", true},  // kMultiSet
    {""},          // kCancelWait
    {"w"},         // kPing
    {"kv"},        // kQueuePush
    {"k"},         // kQueuePop
    {"k"},         // kQueueLen
    {""},          // kListKeys
    {"kn"},        // kBarrier
}};

const Shape& shape_of(StoreOp op) { return kShapes[static_cast<size_t>(op)]; }

constexpr const char* kNoHandshake = "it does not begin with the TCPStore handshake: torch 2.4 or newer is needed";

// A connection that once carried a large message does not keep its memory.
constexpr size_t kKeptCapacity = 64 * 1024;

}  // namespace

void StoreParser::feed(std::string_view bytes) {
  if (held_.empty()) {
    input_ = bytes;
  } else {
    held_.append(bytes);
    input_ = held_;
  }
}

StoreParser::Outcome StoreParser::next(StoreRequest& request) {
  while (true) {
    switch (read_message()) {
      case Progress::kShort: keep(); return Outcome::kNeedMore;
      case Progress::kRefused: return Outcome::kRefused;
      case Progress::kDone: break;
    }
    const bool handshake = op_ == StoreOp::kValidate;
    if (!handshake) fill(request);
    start_next_message();
    if (!handshake) return Outcome::kRequest;
  }
}

void StoreParser::keep() {
  const std::string_view rest = input_.substr(message_);
  const bool in_place = !held_.empty();
  cursor_ -= message_;
  if (in_place) {
    held_.erase(0, message_);
  } else {
    held_.assign(rest);
  }
  message_ = 0;
  if (held_.empty() && held_.capacity() > kKeptCapacity) held_.shrink_to_fit();
  input_ = held_;
}

StoreParser::Progress StoreParser::read_message() {
  if (!refusal_.empty()) return Progress::kRefused;
  if (cursor_ == message_) {
    if (const Progress progress = read_operation(); progress != Progress::kDone) return progress;
  }
  if (!counted_) {
    if (const Progress progress = read_count(); progress != Progress::kDone) return progress;
  }
  const std::string_view kinds = shape_of(op_).fields;
  while (fields_read_ < fields_) {
    const Progress progress = read_field(kinds[fields_read_ % kinds.size()]);
    if (progress != Progress::kDone) return progress;
    ++fields_read_;
  }
  if (op_ == StoreOp::kValidate) {
    if (number_ != kStoreMagic) return refuse(kNoHandshake);
    validated_ = true;
  }
  return Progress::kDone;
}

StoreParser::Progress StoreParser::read_operation() {
  uint8_t op = 0;
  if (!read_integer(op)) return Progress::kShort;
  // An older client is recognised by its first byte: it would otherwise wait for a reply that never comes.
  if (!validated_ && op != static_cast<uint8_t>(StoreOp::kValidate)) return refuse(kNoHandshake);
  if (op >= kStoreOpCount || (validated_ && op == static_cast<uint8_t>(StoreOp::kValidate))) {
    return refuse("it sent the unknown store operation " + std::to_string(op));
  }
  op_ = static_cast<StoreOp>(op);
  counted_ = !shape_of(op_).list;
  fields_ = shape_of(op_).fields.size();
  return Progress::kDone;
}

StoreParser::Progress StoreParser::read_count() {
  uint64_t count = 0;
  if (!read_integer(count)) return Progress::kShort;
  if (count > kStoreMaxKeys) {
    return refuse("it sent a request for " + std::to_string(count) + " keys (at most " + std::to_string(kStoreMaxKeys) +
                  ")");
  }
  fields_ = count * shape_of(op_).fields.size();
  counted_ = true;
  return Progress::kDone;
}

StoreParser::Progress StoreParser::read_field(char kind) {
  switch (kind) {
    case 'k': return read_string(kStoreMaxKeyBytes, "key");
    case 'v': return read_string(kStoreMaxValueBytes, "value");
    case 'n': return read_integer(number_) ? Progress::kDone : Progress::kShort;
    default: {
      uint32_t word = 0;
      if (!read_integer(word)) return Progress::kShort;
      number_ = word;
      return Progress::kDone;
    }
  }
}

StoreParser::Progress StoreParser::read_string(uint64_t limit, const char* what) {
  const size_t field = cursor_;
  uint64_t size = 0;
  if (!read_integer(size)) return Progress::kShort;
  if (size > limit) {
    return refuse("it sent a " + std::string(what) + " of " + std::to_string(size) + " bytes" +
                  (limit == kStoreMaxValueBytes ? owner_of_value() : "") + " (at most " + std::to_string(limit) +
                  ", as with torch's own store)");
  }
  if (cursor_ - message_ + size > kStoreMaxMessageBytes) {
    return refuse("it sent a request of more than " + std::to_string(kStoreMaxMessageBytes) + " bytes");
  }
  if (input_.size() - cursor_ < size) {
    cursor_ = field;
    return Progress::kShort;
  }
  strings_.push_back({cursor_ - message_, size});
  cursor_ += size;
  return Progress::kDone;
}

// In every message a value comes behind its key; only a list has several of them.
std::string StoreParser::owner_of_value() const {
  constexpr size_t kLongestShown = 200;
  const size_t key = shape_of(op_).list ? strings_.size() - 1 : 0;
  std::string_view name = slice(key);
  if (name.starts_with('/')) name.remove_prefix(1);  // which torch's client puts before every key
  return " for the key '" + printable(name.substr(0, kLongestShown)) + "'";
}

template <typename T>
bool StoreParser::read_integer(T& value) {
  if (input_.size() - cursor_ < sizeof(T)) return false;
  std::memcpy(&value, input_.data() + cursor_, sizeof(T));
  cursor_ += sizeof(T);
  return true;
}

StoreParser::Progress StoreParser::refuse(std::string why) {
  refusal_ = std::move(why);
  held_.clear();
  held_.shrink_to_fit();
  input_ = {};
  message_ = cursor_ = 0;
  return Progress::kRefused;
}

void StoreParser::start_next_message() {
  message_ = cursor_;
  fields_read_ = 0;
  strings_.clear();
  if (strings_.capacity() * sizeof(Slice) > kKeptCapacity) strings_.shrink_to_fit();
}

void StoreParser::fill(StoreRequest& request) const {
  request.op = op_;
  request.number = number_;
  const Shape& shape = shape_of(op_);
  if (shape.list) {
    request.keys.clear();
    request.values.clear();
    const size_t width = shape.fields.size();
    for (size_t i = 0; i < strings_.size(); i += width) {
      request.keys.push_back(slice(i));
      if (width == 2) request.values.push_back(slice(i + 1));
    }
    return;
  }
  if (!strings_.empty()) request.key = slice(0);
  if (strings_.size() == 2) request.value = slice(1);
  if (strings_.size() == 3) {
    request.expected = slice(1);
    request.value = slice(2);
  }
}

std::string_view StoreParser::slice(size_t index) const {
  return input_.substr(message_ + strings_[index].begin, strings_[index].size);
}

namespace {

template <typename T>
void append_integer(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

}  // namespace

void append_byte(std::string& out, uint8_t value) { append_integer(out, value); }
void append_u32(std::string& out, uint32_t value) { append_integer(out, value); }
void append_i64(std::string& out, int64_t value) { append_integer(out, value); }

void append_value(std::string& out, std::string_view value) {
  append_integer(out, static_cast<uint64_t>(value.size()));
  out.append(value);
}

}  // namespace ferrun
