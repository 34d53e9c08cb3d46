#include "worker/report/event_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <boost/crc.hpp>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "worker/checkpoint/signal_guard.h"

namespace ferrun::report {
namespace {

using Bytes = std::vector<uint8_t>;

// Numbers of the fields, from the .proto files.
namespace event {
constexpr uint32_t kWallTime = 1;
constexpr uint32_t kStep = 2;
constexpr uint32_t kFileVersion = 3;
constexpr uint32_t kSummary = 5;
constexpr uint32_t kSessionLog = 7;
}  // namespace event
namespace session_log {
constexpr uint32_t kStatus = 1;
constexpr uint64_t kStart = 1;
}  // namespace session_log
namespace summary {
constexpr uint32_t kValue = 1;
constexpr uint32_t kTag = 1;  // of a value
constexpr uint32_t kSimpleValue = 2;
constexpr uint32_t kImage = 4;
constexpr uint32_t kHeight = 1;  // of an image
constexpr uint32_t kWidth = 2;
constexpr uint32_t kColorspace = 3;
constexpr uint64_t kRgb = 3;
constexpr uint32_t kEncoded = 4;
}  // namespace summary

enum class WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

template <typename Number>
void put_little_endian(Bytes& bytes, Number number) {
  for (size_t i = 0; i < sizeof number; ++i) bytes.push_back(static_cast<uint8_t>(number >> (8 * i)));
}

template <typename Number>
Number get_little_endian(std::string_view bytes) {
  Number number = 0;
  for (size_t i = 0; i < sizeof number; ++i) number |= Number{static_cast<uint8_t>(bytes[i])} << (8 * i);
  return number;
}

class MessageWriter {
 public:
  void varint(uint32_t field, uint64_t value) {
    tag(field, WireType::kVarint);
    put_varint(value);
  }
  void fixed64(uint32_t field, double value) {
    tag(field, WireType::kFixed64);
    put_little_endian(bytes_, std::bit_cast<uint64_t>(value));
  }
  void fixed32(uint32_t field, float value) {
    tag(field, WireType::kFixed32);
    put_little_endian(bytes_, std::bit_cast<uint32_t>(value));
  }
  void bytes(uint32_t field, std::span<const uint8_t> value) {
    tag(field, WireType::kLength);
    put_varint(value.size());
    bytes_.insert(bytes_.end(), value.begin(), value.end());
  }
  void text(uint32_t field, std::string_view value) {
    bytes(field, {reinterpret_cast<const uint8_t*>(value.data()), value.size()});
  }
  Bytes take() { return std::move(bytes_); }

 private:
  void tag(uint32_t field, WireType type) { put_varint(field << 3 | static_cast<uint32_t>(type)); }
  void put_varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<uint8_t>(value | 0x80));
    bytes_.push_back(static_cast<uint8_t>(value));
  }

  Bytes bytes_;
};

MessageWriter begin_event(double wall_time, int64_t step) {
  MessageWriter message;
  message.fixed64(event::kWallTime, wall_time);
  message.varint(event::kStep, static_cast<uint64_t>(step));
  return message;
}

// A field of a message that is read: its number, and what it holds.
struct Field {
  uint32_t number = 0;
  uint64_t value = 0;        // of a varint
  std::string_view content;  // of a field with a length
};

std::optional<uint64_t> take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

// Nothing at the end, and where the bytes are no message.
std::optional<Field> take_field(std::string_view& bytes) {
  const std::optional<uint64_t> tag = take_varint(bytes);
  if (!tag) return std::nullopt;
  Field field{static_cast<uint32_t>(*tag >> 3), 0, {}};
  uint64_t length = 0;
  switch (static_cast<WireType>(*tag & 7)) {
    case WireType::kVarint: {
      const std::optional<uint64_t> value = take_varint(bytes);
      if (!value) return std::nullopt;
      field.value = *value;
      return field;
    }
    case WireType::kFixed64: length = 8; break;
    case WireType::kFixed32: length = 4; break;
    case WireType::kLength: {
      const std::optional<uint64_t> stated = take_varint(bytes);
      if (!stated) return std::nullopt;
      length = *stated;
      break;
    }
    default: return std::nullopt;
  }
  if (length > bytes.size()) return std::nullopt;
  field.content = bytes.substr(0, length);
  bytes.remove_prefix(length);
  return field;
}

bool has_scalar(std::string_view summary_bytes) {
  while (const std::optional<Field> value = take_field(summary_bytes)) {
    if (value->number != summary::kValue) continue;
    std::string_view rest = value->content;
    while (const std::optional<Field> part = take_field(rest)) {
      if (part->number == summary::kSimpleValue) return true;
    }
  }
  return false;
}

std::span<const uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

constexpr size_t kHeader = 12;  // length and its checksum
constexpr size_t kFooter = 4;

// The next record's message; nothing where the file ends or is damaged.
std::optional<std::string_view> take_record(std::string_view& file) {
  if (file.size() < kHeader + kFooter) return std::nullopt;
  const auto length = get_little_endian<uint64_t>(file);
  if (get_little_endian<uint32_t>(file.substr(8)) != masked_crc32c(as_bytes(file.substr(0, 8))) ||
      length > file.size() - kHeader - kFooter) {
    return std::nullopt;
  }
  const std::string_view message = file.substr(kHeader, length);
  if (get_little_endian<uint32_t>(file.substr(kHeader + length)) != masked_crc32c(as_bytes(message))) {
    return std::nullopt;
  }
  file.remove_prefix(kHeader + length + kFooter);
  return message;
}

}  // namespace

Result<PictureSize> png_size(std::span<const uint8_t> png) {
  constexpr uint8_t kSignature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  if (png.size() < 24 || !std::equal(std::begin(kSignature), std::end(kSignature), png.begin())) {
    return Error{ErrorKind::kInternal, "a picture that is no PNG"};
  }
  const auto number = [&](size_t at) {
    return uint32_t{png[at]} << 24 | uint32_t{png[at + 1]} << 16 | uint32_t{png[at + 2]} << 8 | uint32_t{png[at + 3]};
  };
  return PictureSize{number(16), number(20)};
}

uint32_t masked_crc32c(std::span<const uint8_t> bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  const uint32_t sum = crc.checksum();
  return (sum >> 15 | sum << 17) + 0xa282ead8u;
}

std::vector<uint8_t> framed(std::span<const uint8_t> message) {
  Bytes record;
  record.reserve(kHeader + message.size() + kFooter);
  put_little_endian(record, uint64_t{message.size()});
  put_little_endian(record, masked_crc32c(record));
  record.insert(record.end(), message.begin(), message.end());
  put_little_endian(record, masked_crc32c(message));
  return record;
}

std::vector<uint8_t> version_event(double wall_time) {
  MessageWriter message;
  message.fixed64(event::kWallTime, wall_time);
  message.text(event::kFileVersion, "brain.Event:2");
  return message.take();
}

std::vector<uint8_t> start_event(double wall_time, int64_t step) {
  MessageWriter log;
  log.varint(session_log::kStatus, session_log::kStart);
  MessageWriter message = begin_event(wall_time, step);
  message.bytes(event::kSessionLog, log.take());
  return message.take();
}

std::vector<uint8_t> scalars_event(double wall_time, int64_t step, const std::vector<Scalar>& scalars) {
  MessageWriter values;
  for (const Scalar& scalar : scalars) {
    MessageWriter value;
    value.text(summary::kTag, scalar.tag);
    value.fixed32(summary::kSimpleValue, static_cast<float>(scalar.value));
    values.bytes(summary::kValue, value.take());
  }
  MessageWriter message = begin_event(wall_time, step);
  message.bytes(event::kSummary, values.take());
  return message.take();
}

std::vector<uint8_t> picture_event(double wall_time, int64_t step, const std::string& tag, std::span<const uint8_t> png,
                                   PictureSize size) {
  MessageWriter image;
  image.varint(summary::kHeight, size.height);
  image.varint(summary::kWidth, size.width);
  image.varint(summary::kColorspace, summary::kRgb);
  image.bytes(summary::kEncoded, png);
  MessageWriter value;
  value.text(summary::kTag, tag);
  value.bytes(summary::kImage, image.take());
  MessageWriter values;
  values.bytes(summary::kValue, value.take());
  MessageWriter message = begin_event(wall_time, step);
  message.bytes(event::kSummary, values.take());
  return message.take();
}

std::vector<int64_t> scalar_steps(std::string_view file) {
  std::vector<int64_t> steps;
  while (const std::optional<std::string_view> record = take_record(file)) {
    int64_t step = 0;
    bool is_scalar = false;
    std::string_view message = *record;
    while (const std::optional<Field> field = take_field(message)) {
      if (field->number == event::kStep) step = static_cast<int64_t>(field->value);
      if (field->number == event::kSummary) is_scalar = has_scalar(field->content);
    }
    if (is_scalar) steps.push_back(step);
  }
  return steps;
}

EventWriter::EventWriter(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

EventWriter::EventWriter(EventWriter&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      whole_bytes_(other.whole_bytes_) {}

EventWriter::~EventWriter() {
  if (descriptor_ >= 0) checkpoint::machine_file_system().close(descriptor_);
}

Result<EventWriter> EventWriter::create(const std::string& path, double wall_time) {
  const int descriptor = checkpoint::machine_file_system().create(path);
  if (descriptor < 0) {
    return Error{ErrorKind::kPlatform, "cannot make " + path + ": " + std::strerror(-descriptor)};
  }
  EventWriter writer(path, descriptor);
  if (Status begun = writer.add(version_event(wall_time)); !begun) return begun.error();
  return writer;
}

Status EventWriter::add(std::span<const uint8_t> message) {
  const checkpoint::FileSizeSignalGuard guard;
  const Bytes record = framed(message);
  for (size_t written = 0; written < record.size();) {
    const ssize_t count =
        checkpoint::machine_file_system().write(descriptor_, record.data() + written, record.size() - written);
    if (count <= 0) {
      // Readers pass over a record that is cut, so a file that cannot be shortened is readable all the same.
      [[maybe_unused]] const int shortened = ::ftruncate(descriptor_, whole_bytes_);
      return Error{ErrorKind::kPlatform,
                   "cannot write " + path_ + ": " + std::strerror(count < 0 ? static_cast<int>(-count) : EIO)};
    }
    written += static_cast<size_t>(count);
  }
  whole_bytes_ += static_cast<int64_t>(record.size());
  return ok_status();
}

}  // namespace ferrun::report
