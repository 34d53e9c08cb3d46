#include "rendezvous/job/job_status.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "rendezvous/job/json_writer.h"

namespace ferrun {
namespace {

using nlohmann::json;

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

void write(JsonWriter& out, const NodeStatus& node) {
  out.next();
  out.open('{');
  out.name("agent").value(to_string(node.agent));
  out.name("host").value(node.host);
  out.name("address").value(node.address);
  out.name("role").value(node.role);
  out.name("workers").value(node.workers);
  if (node.node_rank) {
    out.name("node_rank").value(*node.node_rank);
    out.name("first_rank").value(node.first_rank);
  }
  out.name("state").value(to_string(node.state));
  out.name("silence_ms").value(milliseconds(node.silence));
  out.close('}');
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
  JsonWriter out;
  out.open('{');
  out.name("told_by").value(status.told_by);
  out.name("launch_id").value(status.launch_id);
  out.name("incarnation").value(status.incarnation);
  out.name("round").open('{');
  out.name("incarnation").value(status.round.incarnation);
  out.name("number").value(status.round.number);
  out.close('}');
  out.name("phase").value(status.phase);
  out.name("reason").value(status.reason);
  out.name("min_nodes").value(status.min_nodes);
  out.name("max_nodes").value(status.max_nodes);
  out.name("world").value(status.world);
  out.name("restarts").value(status.restarts);
  out.name("max_restarts").value(status.max_restarts);
  out.name("last_change").value(status.last_change);
  out.name("last_change_age_ms").value(milliseconds(status.last_change_age));
  out.name("missing").open('[');
  for (const std::string& line : status.missing) out.value(line);
  out.close(']');
  out.name("nodes").open('[');
  for (const NodeStatus& node : status.nodes) write(out, node);
  out.close(']');
  if (status.clock_us != 0) out.name("clock_us").value(status.clock_us);
  out.close('}');
  return out.take();
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
