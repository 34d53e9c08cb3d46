#include "launcher/hosts/shared_output.h"

namespace ferrun {
namespace {

constexpr size_t kRulerLength = 78;  // of job_report()
constexpr std::string_view kOwn = "ferrun: ";
// Lines of ferrun's that are remembered of a host: a job of weeks with thousands of restarts says more, which is shown.
constexpr size_t kMostRemembered = 1000;

bool is_ruler(std::string_view line) {
  return line.size() == kRulerLength && line.find_first_not_of('=') == std::string_view::npos;
}

void append_line(std::string& shown, std::string_view line) {
  shown += line;
  shown += '\n';
}

}  // namespace

void SharedOutput::take(size_t host, std::string_view line, std::string& shown) {
  Stream& stream = streams_[host];
  if (stream.ruler_held) {
    stream.ruler_held = false;
    stream.in_report = line.starts_with(kOwn);
    if (stream.in_report && !reporter_) reporter_ = host;
    if (!stream.in_report || *reporter_ == host) append_line(shown, std::string(kRulerLength, '='));
  } else if (!stream.in_report && is_ruler(line)) {
    stream.ruler_held = true;
    return;
  }
  if (stream.in_report) {
    if (*reporter_ == host) append_line(shown, line);
    if (is_ruler(line)) stream.in_report = false;
    return;
  }
  if (is_ruler(line)) {
    stream.ruler_held = true;
    return;
  }
  if (line.starts_with(kOwn)) {
    if (was_said_elsewhere(host, line)) return;
    if (stream.said.size() < kMostRemembered) stream.said.emplace(line);
  }
  append_line(shown, line);
}

void SharedOutput::end(size_t host, std::string& shown) {
  if (streams_[host].ruler_held) append_line(shown, std::string(kRulerLength, '='));
  streams_[host] = {};
}

bool SharedOutput::was_said_elsewhere(size_t host, std::string_view line) const {
  for (size_t other = 0; other < streams_.size(); ++other) {
    if (other != host && streams_[other].said.contains(line)) return true;
  }
  return false;
}

}  // namespace ferrun
