// Which transforms a run applies to its pictures: one list to train, one to validate. As JSON:
//
//   {"train":      [{"name": "Resize", "size": [256, 256]}, {"name": "RandomCrop", "size": 224}, …],
//    "validation": [{"name": "Resize", "size": [224, 224]}, {"name": "ToTensor"}, {"name": "Normalize", …}]}
//
// Names and arguments are torchvision's. Pure but for `read_recipe`.
#pragma once

#include <string>

#include "common/result.h"
#include "worker/data/transforms.h"

namespace ferrun::data {

struct Recipe {
  Transform train;
  Transform validation;

  // The default for pictures of `size`.
  static Recipe standard(int size) { return {Transform::train(size), Transform::validation(size)}; }

  int size() const { return train.size(); }  // the same for both
  bool operator==(const Recipe&) const = default;
};

// Both lists must end in ToTensor and Normalize and give squares of one size, a multiple of 32. Failure, kUsage, is one
// line with `source` (a file's name), the entry and what is allowed there:
// "mine.json: train[1] (RandomCrop): …".
Result<Recipe> parse_recipe(const std::string& text, const std::string& source);

// Reads a file of at most a mebibyte.
Result<Recipe> read_recipe(const std::string& path);

// The recipe as parse_recipe reads it, a step a line, with a line end behind.
std::string recipe_text(const Recipe& recipe);

// One list alone, on one line: what an exported model carries of how its pictures are prepared. Reading it back has
// parse_recipe's rules and errors.
std::string transform_text(const Transform& transform);
Result<Transform> parse_transform(const std::string& text, const std::string& source);

}  // namespace ferrun::data
