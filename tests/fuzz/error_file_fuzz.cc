// Error files of any bytes, whole and cut short: they are read or found unreadable with a reason, and what ferrun hands
// to its own parent is JSON in either case.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "launcher/report/error_file.h"
#include "tests/fuzz/require.h"

namespace ferrun {
namespace {

void require_sense(const ErrorFile& error) {
  const bool unreadable = error.state == ErrorFile::State::kUnreadable;
  require(unreadable == !error.problem.empty(), "what cannot be read has a reason, and only that");
  if (error.state == ErrorFile::State::kRead) return;
  require(error.message.empty() && error.callstack.empty(), "what was not read says nothing");
}

void play(const std::string& bytes) {
  const ErrorFile error = parse_error_file(bytes);
  require_sense(error);
  require_sense(parse_error_beginning(bytes));
  require_sense(parse_error_beginning(bytes.substr(0, bytes.size() / 2)));
  require(nlohmann::json::accept(error_file_for_parent(bytes, "rank 0 exited with code 3", 3)),
          "the parent reads JSON");
}

}  // namespace
}  // namespace ferrun

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ferrun::play({reinterpret_cast<const char*>(data), size});
  return 0;
}
