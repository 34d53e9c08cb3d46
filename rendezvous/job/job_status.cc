#include "rendezvous/job/job_status.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/json_text.h"

namespace ferrun {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::array<std::string_view, 8> kStates = {"waiting",  "spare",    "preparing", "running",
                                                     "stopping", "finished", "silent",    "lost"};

int64_t milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

std::optional<NodeState> state_named(std::string_view name) {
  for (size_t at = 0; at < kStates.size(); ++at) {
    if (kStates[at] == name) return static_cast<NodeState>(at);
  }
  return std::nullopt;
}

// The object is made member by member: a braced list copies each of them, which for the status of 10,000 nodes holds
// the coordinator up for several times as long.
ordered_json json_of(const NodeStatus& node) {
  ordered_json::object_t object;
  object.reserve(9);
  object.emplace("agent", to_string(node.agent));
  object.emplace("host", node.host);
  object.emplace("address", node.address);
  object.emplace("role", node.role);
  object.emplace("workers", node.workers);
  if (node.node_rank) {
    object.emplace("node_rank", *node.node_rank);
    object.emplace("first_rank", node.first_rank);
  }
  object.emplace("state", to_string(node.state));
  object.emplace("silence_ms", milliseconds(node.silence));
  return object;
}

// Reads the members of one object. A member that is absent leaves the value as it is; one of another kind is
// remembered as an error.
class ObjectReader {
 public:
  ObjectReader(const json& object, std::string& error) : object_(object), error_(error) {
    if (!object.is_object()) fail("an object");
  }

  void read(const char* name, std::string& value) {
    const json* found = find(name);
    if (found == nullptr) return;
    if (!found->is_string()) return fail(name);
    value = found->get_ref<const std::string&>();
  }

  template <typename Integer>
  void read_number(const char* name, Integer& value) {
    const json* found = find(name);
    if (found == nullptr) return;
    if (!found->is_number_integer()) return fail(name);
    const auto number = found->get<int64_t>();
    if (found->is_number_unsigned() ? !std::in_range<Integer>(found->get<uint64_t>()) : !std::in_range<Integer>(number))
      return fail(name);
    value = static_cast<Integer>(number);
  }

  void read(const char* name, Duration& value) {
    int64_t count = milliseconds(value);
    read_number(name, count);
    constexpr int64_t kLongest = int64_t{1} << 40;  // thirty years
    if (count < 0 || count > kLongest) return fail(name);
    value = std::chrono::milliseconds(count);
  }

  const json* find(const char* name) const {
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }

  // The elements of an array; none where it is absent.
  const json& list(const char* name) {
    static const json kNone = json::array();
    const json* found = find(name);
    if (found == nullptr) return kNone;
    if (found->is_array()) return *found;
    fail(name);
    return kNone;
  }

  void fail(const char* name) {
    if (error_.empty()) error_ = name;
  }

 private:
  const json& object_;
  std::string& error_;
};

std::optional<uint64_t> hexadecimal(std::string_view text) {
  if (text.empty() || text.size() > 16) return std::nullopt;
  uint64_t value = 0;
  for (const char digit : text) {
    const size_t at = std::string_view("0123456789abcdef").find(digit);
    if (at == std::string_view::npos) return std::nullopt;
    value = value << 4 | at;
  }
  return value;
}

NodeStatus read_node(const json& object, std::string& error) {
  NodeStatus node;
  ObjectReader reader(object, error);
  std::string agent = to_string(node.agent), state = std::string(to_string(node.state));
  reader.read("agent", agent);
  reader.read("host", node.host);
  reader.read("address", node.address);
  reader.read("role", node.role);
  reader.read_number("workers", node.workers);
  reader.read("state", state);
  reader.read("silence_ms", node.silence);
  if (reader.find("node_rank") != nullptr) {
    node.node_rank = 0;
    reader.read_number("node_rank", *node.node_rank);
    reader.read_number("first_rank", node.first_rank);
  }
  if (const auto value = hexadecimal(agent)) {
    node.agent.value = *value;
  } else {
    reader.fail("agent");
  }
  if (const auto value = state_named(state)) {
    node.state = *value;
  } else {
    reader.fail("state");
  }
  return node;
}

}  // namespace

std::string_view to_string(NodeState state) { return kStates[static_cast<size_t>(state)]; }

std::string to_json(const JobStatus& status) {
  ordered_json object;
  object["told_by"] = status.told_by;
  object["launch_id"] = status.launch_id;
  object["incarnation"] = status.incarnation;
  object["round"] = {{"incarnation", status.round.incarnation}, {"number", status.round.number}};
  object["phase"] = status.phase;
  object["reason"] = status.reason;
  object["min_nodes"] = status.min_nodes;
  object["max_nodes"] = status.max_nodes;
  object["world"] = status.world;
  object["restarts"] = status.restarts;
  object["max_restarts"] = status.max_restarts;
  object["last_change"] = status.last_change;
  object["last_change_age_ms"] = milliseconds(status.last_change_age);
  object["missing"] = status.missing;
  ordered_json::array_t nodes;
  nodes.reserve(status.nodes.size());
  for (const NodeStatus& node : status.nodes) nodes.push_back(json_of(node));
  object["nodes"] = std::move(nodes);
  if (status.clock_us != 0) object["clock_us"] = status.clock_us;
  return json_text(object);
}

Result<JobStatus> job_status_from_json(std::string_view text) {
  const json object = json::parse(text, nullptr, false);
  JobStatus status;
  std::string error;
  ObjectReader reader(object, error);
  reader.read("told_by", status.told_by);
  reader.read("launch_id", status.launch_id);
  reader.read_number("incarnation", status.incarnation);
  if (const json* round = reader.find("round")) {
    ObjectReader round_reader(*round, error);
    round_reader.read_number("incarnation", status.round.incarnation);
    round_reader.read_number("number", status.round.number);
  }
  reader.read("phase", status.phase);
  reader.read("reason", status.reason);
  reader.read_number("min_nodes", status.min_nodes);
  reader.read_number("max_nodes", status.max_nodes);
  reader.read_number("world", status.world);
  reader.read_number("restarts", status.restarts);
  reader.read_number("max_restarts", status.max_restarts);
  reader.read("last_change", status.last_change);
  reader.read("last_change_age_ms", status.last_change_age);
  for (const json& line : reader.list("missing")) {
    if (line.is_string()) {
      status.missing.push_back(line.get<std::string>());
    } else {
      reader.fail("missing");
    }
  }
  reader.read_number("clock_us", status.clock_us);
  for (const json& node : reader.list("nodes")) status.nodes.push_back(read_node(node, error));
  if (!error.empty()) return Error{ErrorKind::kPlatform, "this is no status of a job (" + error + ")"};
  return status;
}

}  // namespace ferrun
