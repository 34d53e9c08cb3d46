#include "rendezvous/coordinator/coordinator_state_codec.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "common/json_text.h"

namespace ferrun {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kMagic = "ferrun-coordinator-state";
constexpr int kVersion = 3;
constexpr std::array<std::string_view, 5> kEnds = {"success", "failed", "stopped", "rendezvous", "refused"};

// FNV-1a, 64 bits: against torn writes and editors, not against an enemy.
uint64_t checksum(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

std::string header(std::string_view body) {
  return std::string(kMagic) + " " + std::to_string(kVersion) + " " + to_string(AgentId{checksum(body)});
}

Error damaged(std::string what) {
  return Error{ErrorKind::kPlatform, "the coordinator's saved state is damaged: " + std::move(what)};
}

ordered_json json_of(const JobEnd& end) {
  return {{"kind", kEnds[static_cast<size_t>(end.kind)]}, {"exit_status", end.exit_status}, {"report", end.report}};
}

std::string to_json(const CoordinatorState& state) {
  ordered_json object;
  object["job_id"] = state.job_id;
  object["incarnation"] = state.incarnation;
  object["newest"] = {{"incarnation", state.newest.incarnation}, {"number", state.newest.number}};
  ordered_json& members = object["members"] = ordered_json::array();
  for (const CoordinatorState::Member& member : state.members) {
    ordered_json& entry = members.emplace_back();
    entry["agent"] = member.agent.value;
    entry["host"] = member.host;
    entry["node_rank"] = member.node_rank;
    if (member.remains == Remains::kNone) entry["gone"] = true;
  }
  object["restarts"] = state.restarts;
  object["launch_id"] = state.launch_id;
  ordered_json& terms = object["terms"] = ordered_json::array();
  for (const Term& term : state.terms) terms.push_back({{"name", term.name}, {"value", term.value}});
  if (state.closed) object["closed"] = json_of(*state.closed);
  return json_text(object);
}

// The checksum has shown that encode_state wrote this text: a value that is missing or of another kind is met as an
// exception of the library.
JobEnd end_of(const json& object) {
  JobEnd end;
  const auto& kind = object.at("kind").get_ref<const std::string&>();
  const auto found = std::find(kEnds.begin(), kEnds.end(), kind);
  if (found == kEnds.end()) throw json::other_error::create(501, "unknown end", &object);
  end.kind = static_cast<JobEnd::Kind>(found - kEnds.begin());
  end.exit_status = object.at("exit_status").get<int>();
  end.report = object.at("report").get<std::vector<std::string>>();
  return end;
}

CoordinatorState state_of(const json& object) {
  CoordinatorState state;
  state.job_id = object.at("job_id").get<std::string>();
  state.incarnation = object.at("incarnation").get<uint64_t>();
  state.newest.incarnation = object.at("newest").at("incarnation").get<uint64_t>();
  state.newest.number = object.at("newest").at("number").get<uint64_t>();
  for (const json& member : object.at("members")) {
    state.members.push_back({AgentId{member.at("agent").get<uint64_t>()}, member.at("host").get<std::string>(),
                             member.at("node_rank").get<int>(),
                             member.value("gone", false) ? Remains::kNone : Remains::kUnknown});
  }
  state.restarts = object.at("restarts").get<int>();
  state.launch_id = object.at("launch_id").get<std::string>();
  for (const json& term : object.at("terms")) {
    state.terms.push_back({term.at("name").get<std::string>(), term.at("value").get<std::string>()});
  }
  if (object.contains("closed")) state.closed = end_of(object.at("closed"));
  return state;
}

}  // namespace

std::string encode_state(const CoordinatorState& state) {
  const std::string body = to_json(state);
  return header(body) + "\n" + body + "\n";
}

Result<CoordinatorState> decode_state(std::string_view text) {
  if (!text.starts_with(kMagic)) return damaged("it does not begin with \"" + std::string(kMagic) + "\"");
  const std::string version = std::string(kMagic) + " " + std::to_string(kVersion) + " ";
  if (!text.starts_with(version)) return damaged("another version of ferrun wrote it");
  const size_t line_end = text.find('\n');
  if (line_end == std::string_view::npos || text.back() != '\n' || text.size() < line_end + 2) {
    return damaged("its end is missing");
  }
  const std::string_view body = text.substr(line_end + 1, text.size() - line_end - 2);
  if (text.substr(0, line_end) != header(body)) return damaged("its checksum is wrong");
  try {
    return state_of(json::parse(body));
  } catch (const json::exception& error) {
    return damaged(error.what());
  }
}

}  // namespace ferrun
