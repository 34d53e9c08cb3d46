// What `ferrun doctor` has found, and how it shows it. Pure.
#pragma once

#include <string>
#include <vector>

namespace ferrun {

struct Finding {
  enum class Status {
    kOk,
    kWarn,  // may be meant, or may harm a job
    kFail,  // a job with several nodes cannot work like this
  };
  Status status = Status::kOk;
  std::string check;  // one word
  std::string text;   // one line, with the remedy where something is wrong
  bool operator==(const Finding&) const = default;
};

// One line each, aligned.
std::string findings_text(const std::vector<Finding>& findings);
// One line of JSON: {"failed": false, "findings": [{"check": "name", "status": "ok", "text": "…"}, …]}
std::string findings_json(const std::vector<Finding>& findings);
bool any_failed(const std::vector<Finding>& findings);

}  // namespace ferrun
