#include <algorithm>
#include <array>

#include "common/duration_text.h"
#include "common/printable_text.h"
#include "rendezvous/job/job_status.h"
#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

constexpr size_t kListedLines = 20;  // of what is missing
constexpr size_t kColumns = 6;
using Row = std::array<std::string, kColumns>;

std::string ranks_of(const NodeStatus& node) {
  if (!node.node_rank) return "-";
  if (node.workers == 1) return std::to_string(node.first_rank);
  return std::to_string(node.first_rank) + "-" + std::to_string(int64_t{node.first_rank} + node.workers - 1);
}

Row row_of(const NodeStatus& node) {
  return {node.node_rank ? std::to_string(*node.node_rank) : "-",
          ranks_of(node),
          std::string(to_string(node.state)),
          age_text(node.silence) + " ago",
          printable(node.host),
          printable(node.address)};
}

// Those that are to be listed, in their order: what does not simply run is never left out in favour of what does.
std::vector<const NodeStatus*> listed(const JobStatus& status) {
  std::vector<const NodeStatus*> nodes;
  for (const NodeStatus& node : status.nodes) nodes.push_back(&node);
  if (nodes.size() <= kListedNodes) return nodes;
  std::stable_partition(nodes.begin(), nodes.end(),
                        [](const NodeStatus* node) { return node->state != NodeState::kRunning; });
  nodes.resize(kListedNodes);
  return nodes;
}

void append_table(std::string& text, const JobStatus& status) {
  std::vector<Row> rows = {{"NODE", "RANKS", "STATE", "HEARD", "HOST", "ADDRESS"}};
  for (const NodeStatus* node : listed(status)) rows.push_back(row_of(*node));
  std::array<size_t, kColumns> widths{};
  for (const Row& row : rows) {
    for (size_t column = 0; column < kColumns; ++column) widths[column] = std::max(widths[column], row[column].size());
  }
  for (const Row& row : rows) {
    std::string line;
    for (size_t column = 0; column < kColumns; ++column) {
      line += row[column];
      line.append(widths[column] - row[column].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  if (rows.size() - 1 < status.nodes.size())
    text += "and " + counted(status.nodes.size() - (rows.size() - 1), "more node") + "\n";
}

std::string size_of(const JobStatus& status) {
  const auto present = std::ranges::count_if(status.nodes, [](const NodeStatus& node) {
    return node.state != NodeState::kLost && node.state != NodeState::kSilent;
  });
  std::string wanted = std::to_string(status.min_nodes);
  if (status.max_nodes != status.min_nodes) wanted += " to " + std::to_string(status.max_nodes);
  std::string text = counted(static_cast<size_t>(present), "node") + " of " + wanted;
  if (status.world > 0) text += ", " + counted(static_cast<size_t>(status.world), "worker");
  return text;
}

}  // namespace

std::string to_text(const JobStatus& status) {
  std::string text = status.round.none() ? "no round yet" : "round " + to_string(status.round);
  text += ", " + printable(status.phase);
  if (!status.reason.empty()) text += ": " + printable(status.reason);
  text += "\n" + size_of(status) + "; " + std::to_string(status.restarts) + " of " +
          counted(static_cast<size_t>(status.max_restarts), "restart") + " spent\n";
  if (!status.last_change.empty())
    text += "last change " + age_text(status.last_change_age) + " ago: " + printable(status.last_change) + "\n";
  for (size_t at = 0; at < status.missing.size() && at < kListedLines; ++at)
    text += "missing: " + printable(status.missing[at]) + "\n";
  if (status.missing.size() > kListedLines)
    text += "missing: " + std::to_string(status.missing.size() - kListedLines) + " more\n";
  if (!status.nodes.empty()) append_table(text, status);
  if (!status.told_by.empty()) text += "told by " + printable(status.told_by) + "\n";
  return text;
}

}  // namespace ferrun
