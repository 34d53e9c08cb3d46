// TensorBoard's event files: a sequence of framed protobuf messages, each a scalar, a picture or a mark.
//
// Framing: TFRecord, https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details. Messages: Event,
// SessionLog (tensorflow/core/util/event.proto) and Summary (tensorflow/core/framework/summary.proto), of which the few
// fields that are needed are written by hand (https://protobuf.dev/programming-guides/encoding/).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/file_system.h"

namespace ferrun::report {

struct Scalar {
  std::string tag;  // "loss/train": charts with the same first part stand together
  double value = 0.0;
};

// Where the picture's size stands in its PNG: TensorBoard wants it beside the bytes.
struct PictureSize {
  uint32_t width = 0;
  uint32_t height = 0;
};
// Failure (kInternal): the bytes are no PNG.
Result<PictureSize> png_size(std::span<const uint8_t> png);

// The checksum of a record: CRC-32C (RFC 3720, B.4) of the bytes, rotated and shifted, as TFRecord has it.
uint32_t masked_crc32c(std::span<const uint8_t> bytes);
// A message with its length and checksums.
std::vector<uint8_t> framed(std::span<const uint8_t> message);

// The messages.
std::vector<uint8_t> version_event(double wall_time);
// From here on the run goes on after `step` - 1: TensorBoard drops what earlier files say of `step` and later ones.
std::vector<uint8_t> start_event(double wall_time, int64_t step);
std::vector<uint8_t> scalars_event(double wall_time, int64_t step, const std::vector<Scalar>& scalars);
std::vector<uint8_t> picture_event(double wall_time, int64_t step, const std::string& tag, std::span<const uint8_t> png,
                                   PictureSize size);

// The steps that an event file has scalars for, in its order; what follows a damaged or cut record is passed over. For
// a run that goes on, and for tests.
std::vector<int64_t> scalar_steps(std::string_view file);

// Appends records to one new file. Every record is handed to the kernel whole before the call returns, so that a killed
// process leaves a file that can be read to its end; one that was cut by a full disk is taken back where that is
// possible. Not thread-safe.
class EventWriter {
 public:
  // Makes `path`, which may not be there yet, and begins it with the version. Failure: one line with the path.
  static Result<EventWriter> create(const std::string& path, double wall_time);
  EventWriter(EventWriter&& other) noexcept;
  EventWriter& operator=(EventWriter&&) = delete;
  ~EventWriter();

  // One event. Failure: one line with the path.
  Status add(std::span<const uint8_t> message);

 private:
  EventWriter(std::string path, int descriptor);

  std::string path_;
  int descriptor_ = -1;
  int64_t whole_bytes_ = 0;  // length of the records that are complete
};

}  // namespace ferrun::report
