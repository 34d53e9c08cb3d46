// Reads typed entries of a checkpoint's dict; an entry that is missing or of another type is named in the error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"

namespace ferrun::train {

Result<int64_t> integer_field(const checkpoint::Value& dict, const std::string& key);
// Integers count as numbers.
Result<double> number_field(const checkpoint::Value& dict, const std::string& key);
Result<std::string> text_field(const checkpoint::Value& dict, const std::string& key);
Result<std::vector<std::string>> texts_field(const checkpoint::Value& dict, const std::string& key);

// Numbers; nothing where the entry is missing or no list of them.
std::optional<std::vector<double>> numbers_field(const checkpoint::Value& dict, const std::string& key);

// Whether the run of a worker's checkpoint turned its pictures upright; nothing when the checkpoint does not say.
std::optional<bool> exif_orientation_of(const checkpoint::Value& checkpoint);

// For messages: "128", "1e-05", "adam", "0.8,0.2"; the kind of value for anything else.
std::string value_text(const checkpoint::Value& value);

}  // namespace ferrun::train
