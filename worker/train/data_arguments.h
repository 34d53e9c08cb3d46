// The worker's options about pictures, which several commands have. Free of LibTorch; used by command_line.cc alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/result.h"
#include "worker/train/cli_app.h"
#include "worker/train/options.h"

namespace ferrun::train {

inline constexpr int64_t kLargestSide = 16384;
inline constexpr int64_t kMostPictures = 1000000;  // of a class, of a batch

// Two flags, of which the last one given counts.
template <typename Flag>
void add_switch(CLI::App& app, const std::string& name, Flag& value, const std::string& help,
                const std::string& opposite) {
  app.add_flag_callback(
      "--" + name, [&value] { value = true; }, help);
  app.add_flag_callback(
      "--no-" + name, [&value] { value = false; }, opposite);
}

// --transforms and --print-transforms as given: what they stand for needs the other options.
struct TransformsRequest {
  std::string file;
  bool print = false;
};

// How pictures are decoded, of every command that reads them; `fallback` is the default of --exif-orientation in words.
void add_decode_options(CLI::App& app, int64_t& max_pixels, std::optional<bool>& exif_orientation,
                        const std::string& fallback);
void add_data_options(CLI::App& app, DataOptions& data, TransformsRequest& transforms);

// What the data options mean together, once they are parsed; the text of --print-transforms, else an empty one.
// Failure: options that contradict each other, transforms that cannot be read.
Result<std::string> settle(const TransformsRequest& request, DataOptions& data);

}  // namespace ferrun::train
