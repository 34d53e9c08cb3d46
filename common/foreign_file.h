// What a file is that is not what its name says, by its first bytes: what people find in the place of a picture or of a
// checkpoint. Pure.
#pragma once

#include <optional>
#include <string_view>

namespace ferrun {

// Phrases for a message: "the file is " what "; " remedy.
struct ForeignFile {
  std::string_view what;    // "a Git LFS pointer, not the file itself"
  std::string_view remedy;  // "fetch it with 'git lfs pull'"; empty where nothing helps
};

// Nothing for bytes that it does not know. Formats of pictures and of weights are known to those who read them.
std::optional<ForeignFile> foreign_file(std::string_view bytes);

}  // namespace ferrun
