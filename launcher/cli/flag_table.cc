#include "launcher/cli/flag_table.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace ferrun {
namespace {

using enum FlagGroup;
using enum FlagKind;

constexpr std::array kFlags = {
    Flag{"nproc-per-node",
         0,
         kValue,
         kSize,
         "N",
         "1",
         true,
         "Workers to start: a number; gpu = the devices that CUDA would see (CUDA_VISIBLE_DEVICES is honoured); "
         "cpu = the cores this process may use (affinity and cgroup quota); auto = gpu if there is one, else cpu.",
         {},
         "auto cpu gpu"},
    Flag{
        "nnodes", 0, kValue, kSize, "N", "1", true,
        "Nodes of the job: N, or MIN:MAX for a job that goes on while at least MIN of them are there. ferrun is started "
        "on every one of them, with the same options."},
    Flag{"role", 0, kValue, kSize, "NAME", "default", true,
         "Name of the worker group: ROLE_NAME of every worker and part of the prefix of teed lines."},
    Flag{"config", 0, kValue, kSize, "FILE", "", false,
         "Read options from this file too, as JSON with their names; the command line counts before it, PET_ after."},

    Flag{"module", 'm', kSwitch, kProgram, "", "", true, "Run the program as a Python module: python -u -m program."},
    Flag{"no-python", 0, kSwitch, kProgram, "", "", true,
         "Execute the program itself, also when its name ends in .py (then it needs a #! line)."},
    Flag{"run-path", 0, kSwitch, kProgram, "", "", true,
         "Run the script by runpy inside torch's error recorder, so that an exception reaches the failure report. A "
         "worker whose script has returned waits for the others of its node."},
    Flag{"expand", 0, kSwitch, kProgram, "", "", true,
         "Replace $local_rank and ${local_rank} in the program's arguments, and $$ by $, as torchrun does. Without"
         " it the arguments arrive untouched."},

    Flag{"max-restarts", 0, kValue, kRestarts, "N", "0", true,
         "How often the whole group is started again after a worker has failed."},
    Flag{
        "on-exit", 0, kList, kRestarts, "RULES", "", true,
        "What follows when the first worker to fail ended so, as in 3=stop,SIGKILL=restart,40-49=spend: the job ends; "
        "another attempt that costs nothing; one of --max-restarts. oom: out of memory. The first rule that fits counts."},
    Flag{"restart-delay", 0, kValue, kRestarts, "SECONDS[:MAX]", "0", true,
         "How long the next attempt waits after a failure; doubled for each failure in a row, up to MAX (300), and a "
         "random part of up to a quarter more."},
    Flag{"min-uptime", 0, kValue, kRestarts, "SECONDS", "30", true,
         "An attempt that has run for so long ends a row of failures. A node that is lost sooner after the start of a "
         "round spends a restart."},
    Flag{"shutdown-timeout", 0, kValue, kRestarts, "SECONDS", "30", true,
         "Grace between the signal that asks workers to stop and SIGKILL, shared by all of them; 0 kills at once. "
         "Without the option TORCH_ELASTIC_SHUTDOWN_TIMEOUT counts."},
    Flag{"failure-grace", 0, kValue, kRestarts, "SECONDS", "5", true,
         "What workers have in place of --shutdown-timeout when another worker has failed or a node is gone: time to "
         "save, and no longer wait for those that hang."},
    Flag{"monitor-interval", 0, kValue, kRestarts, "SECONDS", "0.1", true,
         "Accepted and checked for torchrun's sake. The end of a worker is an event: it is never waited for."},
    Flag{"signals-to-handle", 0, kValue, kRestarts, "NAMES", "SIGTERM,SIGINT,SIGHUP,SIGQUIT", true,
         "Signals that are forwarded to the workers and then stop the job; a second Ctrl-C, a second later, kills."},
    Flag{"exit-code",
         0,
         kValue,
         kRestarts,
         "STYLE",
         "cause",
         true,
         "Exit status after a failure: cause = the first failed worker's own (128+n for signal n), torchrun = 1.",
         {},
         "cause torchrun"},

    Flag{"log-dir", 0, kValue, kOutput, "DIR", "", true,
         "Base folder of log and error files; /dev/null for neither. Without it a folder below TMPDIR is used, and"
         " removed at the end if nothing was written to it."},
    Flag{"redirects", 'r', kValue, kOutput, "SPEC", "0", true,
         "Write workers' streams to files instead of the terminal: 0 none, 1 stdout, 2 stderr, 3 both; for all "
         "workers, or by local rank as in 0:3,1:2."},
    Flag{"tee", 't', kValue, kOutput, "SPEC", "0", true,
         "Write workers' streams to files and to the terminal, each line behind a prefix; SPEC as in --redirects."},
    Flag{"local-ranks-filter", 0, kValue, kOutput, "RANKS", "", true,
         "Show only these local ranks on the terminal, as in 0,3. Files are written for all."},
    Flag{"duplicate-stdout-filters", 0, kValue, kOutput, "TEXTS", "", true,
         "Keep the teed lines of stdout that contain one of these texts, as in error,loss, in filtered_stdout.log too; "
         ",, is a comma."},
    Flag{"duplicate-stderr-filters", 0, kValue, kOutput, "TEXTS", "", true,
         "The same for stderr, in filtered_stderr.log."},
    Flag{"log-line-prefix-template", 0, kValue, kOutput, "TEXT", "", true,
         "Prefix of teed lines, with ${role_name}, ${local_rank}, ${rank} and ${hostname}; without it "
         "TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE counts, else it is [<role><local rank>]:."},
    Flag{"termination-log", 0, kValue, kOutput, "FILE", "", true,
         "Write the root cause of a failure to this file, in at most 4096 bytes; in a pod of Kubernetes "
         "/dev/termination-log without the option. /dev/null: nowhere."},
    Flag{"log-max-size", 0, kValue, kOutput, "SIZE", "", true,
         "Exchange a worker's log file for a new one when it has so many bytes, as in 500k, 100M or 2G."},
    Flag{"log-keep", 0, kValue, kOutput, "N", "4", true,
         "How many old log files stay of each, as stdout.log.1 (the newest), stdout.log.2 and so on."},
    Flag{"event-log", 0, kValue, kOutput, "FILE", "", true,
         "Append a line of JSON for every change of state of the job and its workers, with its reason."},
    Flag{"event-log-handler",
         0,
         kValue,
         kOutput,
         "NAME",
         "null",
         true,
         "console: torchrun's events, as JSON on stderr; null: none.",
         {},
         "null console"},
    Flag{"report",
         0,
         kValue,
         kOutput,
         "STYLE",
         "ferrun",
         true,
         "What a failed job says last: ferrun's report, or the block that torchrun's ChildFailedError shows.",
         {},
         "ferrun torchrun"},
    Flag{"quiet", 0, kSwitch, kOutput, "", "", true,
         "Say nothing on stderr but errors and the report of a failed job; LOGLEVEL=ERROR is the same."},
    Flag{"verbose", 0, kSwitch, kOutput, "", "", true,
         "Tell on stderr what ferrun does; LOGLEVEL=INFO is the same, DEBUG tells more."},

    Flag{"master-addr", 0, kValue, kRendezvous, "ADDRESS", "127.0.0.1", true,
         "MASTER_ADDR of the workers: an address of this machine, where ferrun serves their store."},
    Flag{"master-port", 0, kValue, kRendezvous, "PORT", "", true,
         "MASTER_PORT of the workers. Without it a free one is chosen for every attempt."},
    Flag{"standalone", 0, kSwitch, kRendezvous, "", "", true,
         "A job of its own on this machine: loopback address, free port; address and port options are ignored."},

    Flag{"hosts", 0, kValue, kNodes, "LIST", "", false,
         "Start the job on these hosts from here, by ssh: node0,node1:4 (four workers there), gpu[01-16]. What else is "
         "given holds on all of them; --nnodes=MIN:MAX goes on without hosts that cannot be reached."},
    Flag{"hostfile", 0, kValue, kNodes, "FILE", "", false,
         "The same from a file, a host a line, with slots=N or :N behind it as MPI's launchers read it."},
    Flag{"ssh", 0, kValue, kNodes, "COMMAND", "ssh", false,
         "What reaches a host of --hosts: it is given the host's name and a command. Of its own ferrun gives ssh "
         "BatchMode and ServerAliveInterval, and this command nothing."},
    Flag{
        "rdzv-endpoint", 0, kValue, kNodes, "HOST[:PORT]", "", true,
        "Where the nodes meet: the agent that has this address coordinates the job. Port 29400 with c10d, 29500 with "
        "static; without the option --master-addr and --master-port. On one node and with static it is those two. With "
        "etcd its client endpoints, a list, port 2379."},
    Flag{"rdzv-backend",
         0,
         kValue,
         kNodes,
         "NAME",
         "static",
         true,
         "static or c10d. Both mean ferrun's own protocol, and on one node the store that ferrun serves. etcd: an "
         "etcd (v3) says which agent coordinates the job, and another one takes over while workers run on.",
         {},
         "static c10d etcd"},
    Flag{"rdzv-id", 0, kValue, kNodes, "ID", "", true,
         "Name of the job: TORCHELASTIC_RUN_ID of the workers. Without it none, and on one node a random one."},
    Flag{"rdzv-conf", 0, kValue, kNodes, "K=V,...", "", true,
         "torchrun's settings: join_timeout=600, last_call_timeout=30, close_timeout=30, keep_alive_interval=1, "
         "keep_alive_max_attempt=5 (seconds; attempts) and is_host. With etcd user, password_file, "
         "etcd_prefix=/ferrun/, protocol, cacert, cert and key. Without effect on one node."},
    Flag{"node-rank", 0, kValue, kNodes, "N", "", true,
         "GROUP_RANK of this node: exact for a fixed number of nodes, a wish for an elastic one."},
    Flag{"token-file", 0, kValue, kNodes, "FILE", "", true,
         "File with the job's secret, by which agents know each other; without it FERRUN_TOKEN counts."},
    Flag{
        "coordinator-timeout", 0, kValue, kNodes, "SECONDS", "60", true,
        "How long the agents wait for a coordinator that they have lost. Under one of its own (ferrun coordinator) the "
        "workers run on for this long."},
    Flag{"scale-interval", 0, kValue, kNodes, "SECONDS", "30", true,
         "Nodes that join disturb a running round at most once in this time."},
    Flag{"state-file", 0, kValue, kNodes, "FILE", "", true, "Where the coordinator keeps what has to survive it."},
    Flag{"local-addr", 0, kValue, kNodes, "ADDRESS", "", true,
         "Address by which the other nodes reach this one; on one node MASTER_ADDR when --master-addr is not there."},
    Flag{"iface", 0, kValue, kNodes, "NAME", "", true,
         "Network interface for the traffic between nodes: its address is advertised, and workers are given it as "
         "GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME."},
    Flag{"port-range", 0, kValue, kNodes, "FIRST-LAST", "", true,
         "Ports from which the store's is chosen, where a firewall lets only some through."},

    Flag{"start-method",
         0,
         kValue,
         kProcess,
         "METHOD",
         "spawn",
         true,
         "spawn executes every worker afresh. fork and forkserver load a Python script's modules, or a program that "
         "has a fork point (ferrun::client), once and fork every worker of every attempt from there; other programs "
         "are spawned.",
         {},
         "spawn fork forkserver"},
    Flag{"preload", 0, kValue, kProcess, "MODULES", "", true,
         "Modules that a Python from which workers are forked has imported, separated by commas. Else torch, and what "
         "the first attempt imports of it and of what it needs."},
    Flag{"virtual-local-rank", 0, kSwitch, kProcess, "", "", true,
         "Every worker gets LOCAL_RANK 0 and sees only its own CUDA device, through CUDA_VISIBLE_DEVICES."},
    Flag{"devices", 0, kValue, kProcess, "SHARING", "all", true,
         "all: every worker sees all devices. isolate: each sees its own alone, by UUID, and has LOCAL_RANK 0; a MIG "
         "instance is a device."},
    Flag{
        "omp",
        0,
        kValue,
        kProcess,
        "N",
        "",
        true,
        "OMP_NUM_THREADS of the workers: a number, or auto for each worker's share of the cores. Without it that of the "
        "environment, else 1 where there are several workers.",
        {},
        "auto"},
    Flag{"numa-binding", 0, kValue, kProcess, "KIND", "", false,
         "Bind each worker to CPUs near its device: node = those of its NUMA node, socket = of the node's socket, "
         "exclusive = a share of the node's cores, core-complex = cores with one last-level cache."},

    Flag{"dry-run", 0, kSwitch, kInformation, "", "", false, "Print what would be started, and start nothing."},
    Flag{"json", 0, kSwitch, kInformation, "", "", false,
         "Print JSON for programs: with --dry-run, and of ferrun status and ferrun doctor."},
    Flag{"help", 'h', kSwitch, kInformation, "", "", false, "Print this text."},
    Flag{"version", 0, kSwitch, kInformation, "", "", false, "Print the version."},
    Flag{"print-completion",
         0,
         kValue,
         kInformation,
         "SHELL",
         "",
         false,
         "Print what makes this shell complete ferrun's options.",
         {},
         "bash zsh fish tcsh"},
    Flag{"print-flags", 0, kSwitch, kInformation, "", "", false,
         "Print this table for programs: name, short name, kind, variable, default, separated by tabs."},

    Flag{
        "logs-specs", 0, kValue, kOutput, "NAME", "default", false, "",
        "it names a Python class, which ferrun cannot load; --log-dir, --redirects, --tee and --local-ranks-filter say "
        "where output goes"},
};

}  // namespace

std::span<const Flag> flag_table() { return kFlags; }

const Flag* find_flag(std::string_view name) {
  std::string dashed(name);
  std::ranges::replace(dashed, '_', '-');
  const auto found = std::ranges::find(kFlags, std::string_view(dashed), &Flag::name);
  return found == kFlags.end() ? nullptr : &*found;
}

std::string pet_variable(const Flag& flag) {
  std::string variable = "PET_" + underscored(flag.name);
  std::ranges::transform(variable, variable.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return variable;
}

std::string underscored(std::string_view name) {
  std::string text(name);
  std::ranges::replace(text, '-', '_');
  return text;
}

std::string_view group_title(FlagGroup group) {
  switch (group) {
    case kSize: return "Size of the job";
    case kProgram: return "What to run";
    case kRestarts: return "Failures, restarts and stopping";
    case kOutput: return "Output and log files";
    case kRendezvous: return "Where workers meet";
    case kNodes: return "Several nodes";
    case kProcess: return "How workers start";
    case kInformation: return "Information";
  }
  return "";
}

}  // namespace ferrun
