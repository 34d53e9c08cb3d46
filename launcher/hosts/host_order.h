// What the ferrun that the user started tells the one on another host: where to run, with what environment and
// arguments. It travels on the connection itself, so that nothing of it (the job's secret is in it) is on a command
// line, and every byte of an argument arrives. Pure.
//
//   FERRUN HOST ORDER 1 <bytes>\n  folder\0  <count>\0  argument\0 ...  NAME=value\0 ...
//
// What follows on the connection are words with a line end each: a signal's name ("SIGTERM"), to be passed on. Its end
// is an order to stop. The answer, on standard output before anything else, is the line kHostAnswer.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/environment.h"
#include "common/result.h"

namespace ferrun {

inline constexpr std::string_view kHostAnswer = "FERRUN HOST AGENT 1";

struct HostOrder {
  std::string folder;
  std::vector<std::string> arguments;  // of ferrun, without argv[0]
  Environment environment;             // added to that of the host's login
};

std::string encode_host_order(const HostOrder& order);

// Reads an order that arrives in pieces. Thread rule: none, a value.
class HostOrderReader {
 public:
  // Nothing while the order is incomplete. Failure: what came is none, or one of another version; a line for a person.
  Result<std::optional<HostOrder>> feed(std::string_view bytes);
  // What has come behind the order.
  std::string take_rest() { return std::move(held_); }

 private:
  std::string held_;
};

}  // namespace ferrun
