#include "launcher/config/indexed_pod.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "common/text.h"
#include "launcher/config/values.h"

namespace ferrun {
namespace {

constexpr const char* kIndex = "JOB_COMPLETION_INDEX";

// Whoever gives one of these has decided who is where.
constexpr std::array kPlace = {"node-rank", "rdzv-endpoint", "master-addr", "standalone"};

// The longest name of this host in /etc/hosts: "emotion-1.emotion.training.svc.cluster.local" for "emotion-1".
std::string full_name(const std::string& hostname, const std::string& hosts) {
  std::string longest = hostname;
  for (const std::string& line : split_list(hosts, '\n')) {
    std::string words = line.substr(0, line.find('#'));
    std::ranges::replace(words, '\t', ' ');
    for (const std::string& word : split_list(words, ' ')) {
      if (word.size() > longest.size() && word.starts_with(hostname + ".")) longest = word;
    }
  }
  return longest;
}

}  // namespace

PlaceDefaults with_indexed_pod(PlaceDefaults given, const HostFacts& facts) {
  const std::string index = facts.environment.get_or(kIndex, "");
  if (index.empty() || facts.environment.get_or("KUBERNETES_SERVICE_HOST", "").empty()) return given;
  const bool by_hand =
      std::ranges::any_of(kPlace, [&given](const char* name) { return given.options.given(name) != nullptr; });
  const Result<NodeRange> nodes = parse_node_range(given.options.value("nnodes").text);
  if (by_hand || !nodes || nodes->most == 1) return given;

  const std::string pod = facts.hostname.substr(0, facts.hostname.find('.'));
  const std::string ending = "-" + index;
  const Result<std::string> hosts = facts.files.beginning("/etc/hosts");
  const std::string name = full_name(facts.hostname, hosts ? *hosts : "");
  if (!pod.ends_with(ending) || pod.size() == ending.size() || name == pod) {
    given.warnings.push_back("the other pods cannot look up this one, " + pod +
                             ": give their template a subdomain, the name of a headless service; or say by "
                             "--rdzv-endpoint and --node-rank where the nodes meet");
    return given;
  }
  const std::string job = pod.substr(0, pod.size() - ending.size());
  const std::string first = job + "-0" + name.substr(pod.size());
  given.options.set("node-rank", RawValue{index, kIndex});
  given.options.set("rdzv-endpoint", RawValue{first, kIndex});
  if (given.options.given("rdzv-id") == nullptr) given.options.set("rdzv-id", RawValue{job, kIndex});
  given.notes.push_back("pod " + pod + " of job " + job + ": this node has rank " + index + "; they meet at " + first);
  return given;
}

}  // namespace ferrun
