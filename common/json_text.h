// JSON on one line. What workers and environments hand on may be no UTF-8: such bytes are replaced.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace ferrun {

template <typename Json>
std::string json_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace ferrun
