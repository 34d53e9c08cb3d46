#include "launcher/doctor/finding.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/json_text.h"
#include "common/printable_text.h"

namespace ferrun {
namespace {

std::string status_word(Finding::Status status) {
  switch (status) {
    case Finding::Status::kOk: return "ok";
    case Finding::Status::kWarn: return "warn";
    case Finding::Status::kFail: return "FAIL";
  }
  return "";
}

std::string padded(std::string text, size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

}  // namespace

std::string findings_text(const std::vector<Finding>& findings) {
  size_t width = 0;
  for (const Finding& finding : findings) width = std::max(width, finding.check.size());
  std::string text;
  for (const Finding& finding : findings) {
    text += padded(status_word(finding.status), 4) + "  " + padded(finding.check, width) + "  " +
            printable(finding.text) + "\n";
  }
  return text;
}

std::string findings_json(const std::vector<Finding>& findings) {
  nlohmann::json list = nlohmann::json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"status", status_word(finding.status)}, {"check", finding.check}, {"text", finding.text}});
  }
  const nlohmann::json report = {{"failed", any_failed(findings)}, {"findings", std::move(list)}};
  return json_text(report) + "\n";
}

bool any_failed(const std::vector<Finding>& findings) {
  return std::ranges::any_of(findings, [](const Finding& f) { return f.status == Finding::Status::kFail; });
}

}  // namespace ferrun
