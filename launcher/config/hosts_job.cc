#include "launcher/config/hosts_job.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "launcher/cli/argument_split.h"
#include "launcher/config/job_config.h"
#include "launcher/config/job_token.h"
#include "launcher/config/names.h"
#include "launcher/config/values.h"
#include "launcher/hosts/named_hosts.h"

namespace ferrun {
namespace {

constexpr std::array<std::string_view, 3> kOwnOptions = {"hosts", "hostfile", "ssh"};
// Each says for one node, or for a job of one, what follows from the hosts.
constexpr std::array kExcluded = {"node-rank", "standalone", "master-addr", "local-addr", "iface", "rdzv-backend"};
// What belongs to the login on a host, and not to the job.
constexpr std::array<std::string_view, 21> kOfTheLogin = {
    "_",      "DISPLAY", "HOME",  "HOSTNAME",     "LOGNAME", "LS_COLORS", "MAIL", "OLDPWD",          "PWD",
    "SHELL",  "SHLVL",   "TERM",  "TERM_PROGRAM", "TMUX",    "TMUX_PANE", "USER", "WAYLAND_DISPLAY", "XAUTHORITY",
    "TMPDIR", "STY",     "WINDOW"};
constexpr std::array<std::string_view, 3> kOfTheLoginBegin = {"SSH_", "XDG_", "DBUS_"};
constexpr long kFirstPort = 20000;  // below what kernels give out by themselves
constexpr uint64_t kPorts = 10000;

bool is_of_the_login(std::string_view name) {
  return std::ranges::count(kOfTheLogin, name) > 0 ||
         std::ranges::any_of(kOfTheLoginBegin, [&](std::string_view start) { return name.starts_with(start); });
}

bool is_this_machine(const std::string& name, const HostFacts& facts) {
  return name == "localhost" || name == facts.hostname ||
         facts.hostname.starts_with(name + ".");  // the short form of a full name
}

class HostsReader {
 public:
  HostsReader(std::span<const std::string> arguments, const CommandLine& line, const HostFacts& facts,
              const HostQueries& ask)
      : arguments_(arguments), options_(line.options), facts_(facts), ask_(ask) {}

  Result<HostsJob> read() {
    for (const auto step : {&HostsReader::read_hosts, &HostsReader::check_options, &HostsReader::read_size,
                            &HostsReader::read_command, &HostsReader::read_meeting, &HostsReader::read_arguments}) {
      if (Status done = (this->*step)(); !done) return done.error();
    }
    for (size_t node = 0; node < entries_.size(); ++node) add_host(node);
    job_.log_level = log_level_of(options_, facts_.environment);
    return std::move(job_);
  }

 private:
  const RawValue* given(std::string_view name) const {
    const RawValue* const value = options_.given(name);
    return value != nullptr && !value->text.empty() ? value : nullptr;
  }

  Status read_hosts() {
    const RawValue *const list = given("hosts"), *const file = given("hostfile");
    if (list != nullptr && file != nullptr) return usage_error("--hosts and --hostfile: give one of them");
    if (list != nullptr) {
      Result<std::vector<HostEntry>> hosts = parse_hosts(list->text);
      if (!hosts) return bad_value(*list, hosts.error().message);
      entries_ = std::move(*hosts);
      return ok_status();
    }
    const Result<std::string> text = ask_.file(file->text);
    if (!text) return bad_value(*file, text.error().message);
    Result<std::vector<HostEntry>> hosts = parse_host_file(*text);
    if (!hosts) return bad_value(*file, hosts.error().message);
    entries_ = std::move(*hosts);
    return ok_status();
  }

  Status check_options() {
    for (const char* const name : kExcluded) {
      const RawValue* const value = options_.given(name);
      if (value == nullptr) continue;
      return usage_error(
          value->origin + ": follows from --hosts; leave it out" +
          (std::string_view(name) == "master-addr" ? " (--rdzv-endpoint says where the nodes meet)" : ""));
    }
    return ok_status();
  }

  Status read_size() {
    job_.least = entries_.size();
    const RawValue* const nodes = options_.given("nnodes");
    if (nodes == nullptr) return ok_status();
    const Result<NodeRange> range = parse_node_range(nodes->text);
    if (!range) return bad_value(*nodes, range.error().message);
    if (range->most != static_cast<long>(entries_.size())) {
      return bad_value(*nodes, "--hosts names " + std::to_string(entries_.size()) +
                                   "; leave it out, or say with how few the job may run, as in --nnodes=1:" +
                                   std::to_string(entries_.size()));
    }
    job_.least = static_cast<size_t>(range->least);
    return ok_status();
  }

  // By ssh's name for the first host, which the others know as well; this machine by its own name.
  Status read_meeting() {
    if (const RawValue* const endpoint = given("rdzv-endpoint")) {
      added_.push_back("--rdzv-endpoint=" + endpoint->text);
    } else {
      const std::string& first = entries_.front().name;
      const std::string address = is_this_machine(first, facts_)
                                      ? (entries_.size() == 1 || first == facts_.hostname ? first : facts_.hostname)
                                      : ask_.ssh_address(ssh_, first);
      const RawValue* const port = given("master-port");
      const std::string number =
          port != nullptr ? port->text : std::to_string(kFirstPort + static_cast<long>(facts_.random[3] % kPorts));
      const bool is_ipv6 = address.find(':') != std::string::npos;
      added_.push_back("--rdzv-endpoint=" + (is_ipv6 ? "[" + address + "]" : address) + ":" + number);
    }
    if (given("rdzv-id") == nullptr) added_.push_back("--rdzv-id=hosts-" + hexadecimal(facts_.random[2], 8));
    return ok_status();
  }

  // The user's own, without what is for this ferrun alone.
  Status read_arguments() {
    Result<SplitArguments> split = split_arguments(arguments_);
    if (!split) return split.error();
    constexpr std::array<std::string_view, 4> kReplaced = {"nnodes", "rdzv-endpoint", "master-port", "rdzv-id"};
    bool skips_value = false;
    for (const std::string& word : split->own) {
      // An option's empty value stands alone behind it.
      if (word.empty() && skips_value) continue;
      const std::string_view name =
          std::string_view(word).substr(0, word.find('=')).substr(std::min<size_t>(2, word.size()));
      skips_value = std::ranges::count(kOwnOptions, name) > 0 ||
                    (std::ranges::count(kReplaced, name) > 0 && (name != "rdzv-id" || given("rdzv-id") == nullptr));
      if (!skips_value) own_.push_back(word);
    }
    program_ = std::move(split->program);
    // A configuration file may name hosts as well.
    own_.insert(own_.end(), {"--hosts", "", "--hostfile", ""});
    return ok_status();
  }

  Status read_command() {
    const std::string own = facts_.ferrun_folder.empty() ? "ferrun" : (facts_.ferrun_folder / "ferrun").string();
    own_path_ = own;
    // Any login shell passes one quoted word to sh.
    const std::string there = shell_word(own);
    const std::string script = "[ -x " + there + " ] && exec " + there + " host-agent; exec ferrun host-agent";
    remote_command_ = "exec sh -c " + shell_word(script);
    const RawValue ssh = options_.value("ssh");
    for (std::string& word : split_list(ssh.text, ' ')) {
      if (!word.empty()) ssh_.push_back(std::move(word));
    }
    if (ssh_.empty()) return bad_value(ssh, "expected the command that reaches a host, as in --ssh='ssh -p 2222'");
    // Nobody answers a question that a host asks while the others start; a dead connection is noticed.
    if (options_.given("ssh") == nullptr) {
      ssh_.insert(ssh_.end(), {"-o", "BatchMode=yes", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"});
    }
    return ok_status();
  }

  void add_host(size_t node) {
    const HostEntry& entry = entries_[node];
    HostPlan plan;
    plan.name = entry.name;
    plan.by_ssh = !is_this_machine(entry.name, facts_);
    if (plan.by_ssh) {
      plan.command = ssh_;
      plan.command.insert(plan.command.end(), {entry.name, remote_command_});
    } else {
      plan.command = {own_path_, "host-agent"};
    }
    plan.order.folder = facts_.current_folder.string();
    plan.order.environment = job_environment();
    std::vector<std::string>& words = plan.order.arguments;
    words = own_;
    words.push_back("--nnodes=" + (job_.least == entries_.size()
                                       ? std::to_string(entries_.size())
                                       : std::to_string(job_.least) + ":" + std::to_string(entries_.size())));
    words.push_back("--node-rank=" + std::to_string(node));
    words.insert(words.end(), added_.begin(), added_.end());
    if (entry.slots && options_.given("nproc-per-node") == nullptr) {
      words.push_back("--nproc-per-node=" + std::to_string(*entry.slots));
    }
    words.emplace_back("--");
    words.insert(words.end(), program_.begin(), program_.end());
    job_.hosts.push_back(std::move(plan));
  }

  // The job's secret is made for it where the user has none of his own.
  Environment job_environment() const {
    Environment environment;
    for (const auto& [name, value] : facts_.environment.variables()) {
      if (!is_of_the_login(name)) environment.set(name, value);
    }
    if (!environment.contains(kTokenVariable) && given("token-file") == nullptr) {
      environment.set(kTokenVariable, hexadecimal(facts_.random[0], 16) + hexadecimal(facts_.random[1], 16));
    }
    return environment;
  }

  const std::span<const std::string> arguments_;
  const RawOptions& options_;
  const HostFacts& facts_;
  const HostQueries& ask_;
  HostsJob job_;
  std::vector<HostEntry> entries_;
  std::vector<std::string> own_, added_, program_, ssh_;
  std::string own_path_, remote_command_;
};

}  // namespace

bool wants_hosts(const RawOptions& options) {
  return std::ranges::any_of(std::array{"hosts", "hostfile"}, [&](const char* name) {
    const RawValue* const value = options.given(name);
    return value != nullptr && !value->text.empty();
  });
}

Result<HostsJob> make_hosts_job(std::span<const std::string> arguments, const CommandLine& line, const HostFacts& facts,
                                const HostQueries& ask) {
  return HostsReader(arguments, line, facts, ask).read();
}

}  // namespace ferrun
