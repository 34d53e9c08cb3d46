// What the engine that started ferrun says of its place in a job, as options below those that were given. A value.
#pragma once

#include <string>
#include <vector>

#include "launcher/cli/parse.h"

namespace ferrun {

struct PlaceDefaults {
  RawOptions options;  // those given by hand, and what the engine adds to them
  std::vector<std::string> warnings;
  std::vector<std::string> notes;
};

}  // namespace ferrun
