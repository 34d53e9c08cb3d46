// The file of the teed lines that contain one of some texts, shared by all streams of one kind in an attempt.
//
// Ownership: shared by the pipes that write to it and the router; the file ends with the last of them, which has to be
// before the sink does. Thread rule: the thread that runs the event loop.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "launcher/io/logs/log_sink.h"

namespace ferrun {

class LineFilter {
 public:
  LineFilter(LogOutlet file, std::vector<std::string> texts) : file_(file), texts_(std::move(texts)) {}
  ~LineFilter() { file_.sink->writer.end(file_.target); }
  LineFilter(const LineFilter&) = delete;
  LineFilter& operator=(const LineFilter&) = delete;

  // Every line contains the empty text.
  bool wants(std::string_view line) const {
    return std::ranges::any_of(texts_,
                               [line](const std::string& text) { return line.find(text) != std::string_view::npos; });
  }
  const LogOutlet& file() const { return file_; }

 private:
  LogOutlet file_;
  std::vector<std::string> texts_;
};

}  // namespace ferrun
