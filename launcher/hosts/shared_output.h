// What several hosts' agents say about one job, said once: each of them tells of the same failure, and closes with the
// same report. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ferrun {

// Of standard error. A line of ferrun's own ("ferrun: …") that another host has said before, to the letter, is dropped,
// and so is every report after the first host's. All else passes, in its order.
// Thread rule: none, a value.
class SharedOutput {
 public:
  explicit SharedOutput(size_t hosts) : streams_(hosts) {}

  // Appends to `shown` what there is to show of the host's next line, which comes without its end.
  void take(size_t host, std::string_view line, std::string& shown);
  // The host's stream has ended.
  void end(size_t host, std::string& shown);

 private:
  struct Stream {
    bool ruler_held = false;  // it is the report's first line if ferrun's title follows
    bool in_report = false;
    std::set<std::string, std::less<>> said;
  };

  bool was_said_elsewhere(size_t host, std::string_view line) const;

  std::vector<Stream> streams_;
  std::optional<size_t> reporter_;  // the host whose report is shown
};

}  // namespace ferrun
