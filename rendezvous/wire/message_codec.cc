#include "rendezvous/wire/message_codec.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <type_traits>

#include "common/text.h"
#include "rendezvous/wire/byte_codec.h"
#include "rendezvous/wire/message_fields.h"

namespace ferrun {
namespace {

using wire::fields;
using wire::Kind;

constexpr size_t kLengthBytes = sizeof(uint32_t);  // of a text, of a list

// Nanoseconds; twenty years. Whoever adds one to a time or takes it away does not overflow.
constexpr int64_t kLongest = int64_t{20} * 366 * 24 * 3600 * 1'000'000'000;

enum ExitWay : uint8_t { kExited, kSignaled, kDumpedCore };

class FieldWriter {
 public:
  explicit FieldWriter(std::string& out) : bytes_(out) {}

  void integer(std::integral auto value, const char*) { bytes_.integer(value); }
  void flag(bool value, const char*) { bytes_.integer(static_cast<uint8_t>(value)); }
  void word(auto value, auto, const char*) { bytes_.integer(static_cast<uint8_t>(value)); }
  void count(int value, int, const char*, int = 0) { bytes_.integer(int32_t{value}); }
  void duration(Duration value, const char*) { bytes_.integer(int64_t{value.count()}); }
  void check(bool, const char*) {}

  void optional_count(const std::optional<int>& value, const char*) {
    flag(value.has_value(), "");
    if (value) count(*value, 0, "");
  }

  void text(std::string_view value, size_t limit, const char*) {
    value = cut_utf8(value, limit);
    bytes_.integer(static_cast<uint32_t>(value.size()));
    bytes_.raw(value);
  }

  void texts(const std::vector<std::string>& values, size_t most, size_t limit, const char* what) {
    const size_t count = std::min(values.size(), most);
    bytes_.integer(static_cast<uint32_t>(count));
    for (size_t at = 0; at < count; ++at) text(values[at], limit, what);
  }

  template <typename Item>
  void list(const std::vector<Item>& items, size_t, size_t most, const char*) {
    const size_t count = std::min(items.size(), most);
    bytes_.integer(static_cast<uint32_t>(count));
    for (size_t at = 0; at < count; ++at) fields(*this, items[at]);
  }

  void exit_status(const ExitStatus& status) {
    const ExitWay way = !status.is_signal() ? kExited : status.core_dumped() ? kDumpedCore : kSignaled;
    bytes_.integer(static_cast<uint8_t>(way));
    bytes_.integer(int32_t{status.is_signal() ? status.signal() : status.code()});
  }

  void failure_report(const std::vector<std::string>& lines) {
    size_t count = 0;
    while (count < std::min(lines.size(), kMaxReportLines) && take_room(lines[count])) ++count;
    if (count == 0 && !lines.empty()) {
      bytes_.integer(uint32_t{1});
      return text(lines.front(), kShortReportBytes, "");
    }
    texts(lines, count, kMaxSentenceBytes, "");
  }

  void end_report(const std::vector<std::string>& lines) {
    size_t first = lines.size();
    while (first > 0 && lines.size() - first < kMaxReportLines && take_room(lines[first - 1])) --first;
    bytes_.integer(static_cast<uint32_t>(lines.size() - first));
    for (size_t at = first; at < lines.size(); ++at) text(lines[at], kMaxSentenceBytes, "");
  }

 private:
  bool take_room(const std::string& line) {
    const size_t size = kLengthBytes + std::min(line.size(), kMaxSentenceBytes);
    if (size > report_room_) return false;
    report_room_ -= size;
    return true;
  }

  ByteWriter bytes_;
  size_t report_room_ = kMaxReportBytes;
};

class FieldReader {
 public:
  explicit FieldReader(ByteReader& bytes) : bytes_(bytes) {}

  void integer(std::integral auto& value, const char* what) {
    value = bytes_.integer<std::remove_reference_t<decltype(value)>>(what);
  }

  void flag(bool& value, const char* what) {
    const auto byte = bytes_.integer<uint8_t>(what);
    check(byte <= 1, what, byte);
    value = byte == 1;
  }

  template <typename Enum>
  void word(Enum& value, Enum last, const char* what) {
    const auto byte = bytes_.integer<uint8_t>(what);
    if (check(byte <= static_cast<uint8_t>(last), what, byte)) value = static_cast<Enum>(byte);
  }

  void count(int& value, int least, const char* what, int most = std::numeric_limits<int>::max()) {
    const auto number = bytes_.integer<int32_t>(what);
    if (check(number >= least && number <= most, what, number)) value = number;
  }

  void duration(Duration& value, const char* what) {
    const auto count = bytes_.integer<int64_t>(what);
    if (check(count >= 0 && count <= kLongest, what, count)) value = Duration(count);
  }

  void check(bool holds, const char* otherwise) {
    if (!holds) bytes_.fail(otherwise);
  }

  void optional_count(std::optional<int>& value, const char* what) {
    bool there = false;
    flag(there, what);
    if (there) count(value.emplace(), 0, what);
  }

  void text(std::string& value, size_t limit, const char* what) {
    const auto size = bytes_.integer<uint32_t>(what);
    if (size > limit) return refuse_size(what, size, limit, "bytes");
    value = bytes_.raw(size, what);
  }

  void texts(std::vector<std::string>& values, size_t most, size_t limit, const char* what) {
    for_each(values, 0, most, what, [&](std::string& value) { text(value, limit, what); });
  }

  template <typename Item>
  void list(std::vector<Item>& items, size_t least, size_t most, const char* what) {
    for_each(items, least, most, what, [this](Item& item) { fields(*this, item); });
  }

  void exit_status(ExitStatus& status) {
    const auto way = bytes_.integer<uint8_t>("exit status");
    const auto number = bytes_.integer<int32_t>("exit status");
    if (!check(way <= kDumpedCore && number >= 0 && number <= 255, "exit status", number)) return;
    status = way == kExited ? ExitStatus::exited(number) : ExitStatus::signaled(number, way == kDumpedCore);
  }

  void failure_report(std::vector<std::string>& lines) { texts(lines, kMaxReportLines, kMaxSentenceBytes, "report"); }
  void end_report(std::vector<std::string>& lines) { failure_report(lines); }

 private:
  bool check(bool holds, const char* what, int64_t value) {
    if (!holds) bytes_.fail("has the " + std::string(what) + " " + std::to_string(value));
    return holds && bytes_.ok();
  }

  void refuse_size(const char* what, size_t size, size_t limit, const char* unit) {
    bytes_.fail("has " + std::to_string(size) + " " + unit + " of " + what + " (at most " + std::to_string(limit) +
                ")");
  }

  // Memory follows the bytes that are there, not the count that is claimed.
  template <typename Item, typename Read>
  void for_each(std::vector<Item>& items, size_t least, size_t most, const char* what, Read read) {
    const auto count = bytes_.integer<uint32_t>(what);
    if (count > most) return refuse_size(what, count, most, "items");
    if (count < least && bytes_.ok()) return bytes_.fail("has no " + std::string(what));
    if (count > bytes_.left() / kLengthBytes)
      return bytes_.fail("ends within its list of items of " + std::string(what));
    items.resize(count);
    for (Item& item : items) {
      read(item);
      if (!bytes_.ok()) return;
    }
  }

  ByteReader& bytes_;
};

template <typename Variant>
std::string encode_any(const Variant& message) {
  std::string out;
  std::visit(
      [&out](const auto& alternative) {
        ByteWriter(out).integer(Kind<std::decay_t<decltype(alternative)>>::number);
        FieldWriter writer(out);
        fields(writer, alternative);
      },
      message);
  return out;
}

template <typename Message, typename Variant>
Result<Variant> decode_as(ByteReader bytes) {
  Message message;
  FieldReader reader(bytes);
  fields(reader, message);
  bytes.finish();
  if (bytes.ok()) return Variant(std::move(message));
  return Error{ErrorKind::kPlatform, std::string("sent a ") + Kind<Message>::name + " that " + bytes.error()};
}

template <typename... Messages>
Result<std::variant<Messages...>> decode_any(std::string_view content, std::type_identity<std::variant<Messages...>>) {
  using Variant = std::variant<Messages...>;
  ByteReader bytes(content);
  const auto kind = bytes.integer<uint8_t>("kind");
  if (!bytes.ok()) return Error{ErrorKind::kPlatform, "sent an empty message"};
  std::optional<Result<Variant>> decoded;
  const auto try_kind = [&]<typename Message>(std::type_identity<Message>) {
    if (kind == Kind<Message>::number) decoded.emplace(decode_as<Message, Variant>(bytes));
  };
  (try_kind(std::type_identity<Messages>()), ...);
  if (decoded) return *std::move(decoded);
  return Error{ErrorKind::kPlatform, "sent a message of the unknown kind " + std::to_string(kind)};
}

}  // namespace

std::string encode(const MemberMessage& message) { return encode_any(message); }
std::string encode(const CoordinatorMessage& message) { return encode_any(message); }

Result<MemberMessage> decode_member_message(std::string_view content) {
  return decode_any(content, std::type_identity<MemberMessage>());
}

Result<CoordinatorMessage> decode_coordinator_message(std::string_view content) {
  return decode_any(content, std::type_identity<CoordinatorMessage>());
}

}  // namespace ferrun
