#include "tests/differential/play.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "common/exit_status.h"
#include "tests/temporary_directory.h"

namespace ferrun::differential {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{300};    // against hanging
constexpr std::chrono::seconds kWaitsAtLeast{2};  // what "it waits" means

constexpr size_t kLongestOutput = 40;  // lines that a row's workers write

std::string read_text(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> found;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) found.push_back(line);
  return found;
}

std::string host_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

std::string canonical_host_name() {
  addrinfo hints{};
  hints.ai_flags = AI_CANONNAME;
  addrinfo* found = nullptr;
  if (getaddrinfo(host_name().c_str(), nullptr, &hints, &found) != 0) return host_name();
  const std::string name = found->ai_canonname != nullptr ? found->ai_canonname : host_name();
  freeaddrinfo(found);
  return name;
}

std::string free_port() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    throw std::runtime_error("no free port");
  }
  close(listener);
  return std::to_string(ntohs(address.sin_port));
}

// A folder that looks alike for every run and launcher.
class Stage {
 public:
  Stage(const Row& row, const std::string& probe, const std::string& python) : row_(row), port_(free_port()) {
    for (const char* folder : {"work", "tmp", "bin", "home", "record", "launch", "work/app"}) {
      fs::create_directory(root() / folder);
    }
    fs::create_symlink(probe, root() / "bin/probe");
    if (row.python) {
      fs::create_symlink(python, root() / "bin/real-python");
      std::ofstream(root() / "bin/python") << "#!/bin/sh\nexec " << python << " \"$@\"\n";
      fs::permissions(root() / "bin/python", fs::perms::owner_all);
    } else {
      fs::create_symlink(probe, root() / "bin/python");
    }
    files_ = {{"train.py",
               "import os, subprocess, sys\n"
               "sys.exit(subprocess.call([os.environ['FERRUN_DIFFERENTIAL'] + '/bin/probe', *sys.argv]))\n"},
              {"my train.py", ""},
              {"app/__main__.py", ""},
              {"tool", "#!/bin/sh\nexec probe tool \"$@\"\n"}};
    for (const auto& [name, text] : row.files) files_[name] = text;
    for (const auto& [name, text] : files_) std::ofstream(root() / "work" / name) << text;
    fs::permissions(root() / "work/tool", fs::perms::owner_all);
    environment_ = {{"PATH", (root() / "bin").string() + ":/usr/bin:/bin"},
                    {"HOME", (root() / "home").string()},
                    {"TMPDIR", (root() / "tmp").string()},
                    {"PYTHON_EXEC", (root() / "bin/python").string()},
                    {"LC_ALL", "C.UTF-8"}};
    usual_ = environment_;
    for (const auto& [name, value] : row.environment) {
      if (value.is_null()) {
        environment_.erase(name);
      } else {
        environment_[name] = std::regex_replace(value.get<std::string>(), std::regex("DIR"), root().string());
      }
    }
    environment_["FERRUN_DIFFERENTIAL"] = root().string();
    environment_["ACTS"] = row.acts;
  }

  const fs::path& root() const { return directory_.path(); }

  Launch launch(size_t node) const {
    const std::string at = std::to_string(node);
    std::vector<std::string> words = row_.words(node, port_);
    for (std::string& word : words) word = std::regex_replace(word, std::regex("DIR"), root().string());
    return {words,
            environment_,
            root() / "work",
            root() / "launch" / ("out." + at),
            root() / "launch" / ("err." + at),
            root() / "launch" / ("note." + at)};
  }

  // What is another one in every run, by name.
  std::string plain(std::string text) const {
    static const std::regex kDecimalUuid("[0-9]{35,39}");
    static const std::regex kUuid("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}");
    static const std::regex kFolder("(torchelastic|ferrun)_[A-Za-z0-9_]{8}(?=/|$)");
    static const std::regex kRunFolder(
        "(/|^)([^/\n]*)_[A-Za-z0-9_]{8}(?=/attempt_|/[a-z]+\\.(?:log|json)|/filtered|$)");
    for (size_t at = text.find(root().string()); at != std::string::npos; at = text.find(root().string())) {
      text.replace(at, root().string().size(), "DIR");
    }
    text = std::regex_replace(std::regex_replace(text, kUuid, "UUID"), kDecimalUuid, "UUID");
    text = std::regex_replace(text, kFolder, "$1_*");
    return text.find('/') != std::string::npos || text.find("UUID_") == 0
               ? std::regex_replace(text, kRunFolder, "$1$2_*")
               : text;
  }

  json plain_variable(const std::string& name, const std::string& value, const json& environment) const {
    const auto of_worker = [&](const char* other) { return environment.value(other, ""); };
    if (name == "MASTER_PORT") {
      if (value == port_) return "{port}";
      return value == "29500" || row_.line.find(value) != std::string::npos ? value : "FREE_PORT";
    }
    if (name == "MASTER_ADDR" && (value == host_name() || value == canonical_host_name())) return "HOST";
    if (name == "TORCHELASTIC_ERROR_FILE") {
      const std::string attempt = of_worker("TORCHELASTIC_RESTART_COUNT");
      std::string text = plain(value);
      text = std::regex_replace(text, std::regex("attempt_" + attempt + "([/_])[0-9]+([/_])"), "attempt_N$1RANK$2");
      return text;
    }
    return plain(value);
  }

  bool is_usual(const std::string& name, const std::string& value) const {
    // Left by torch's own warnings, which import its compiler.
    if (name == "TORCHINDUCTOR_CACHE_DIR") return true;
    if (name == "ACTS" || name == "FERRUN_DIFFERENTIAL" || name == "_" || name == "PWD" || name == "SHLVL" ||
        name == "OLDPWD" || name.starts_with("FERRUN_")) {
      return true;
    }
    const auto found = usual_.find(name);
    return found != usual_.end() && found->second == value;
  }

  bool was_there(const fs::path& in_work) const { return files_.contains(in_work.string()); }

 private:
  const Row& row_;
  const testing::TemporaryDirectory directory_;
  std::string port_;
  std::map<std::string, std::string> files_;
  std::map<std::string, std::string> environment_;
  std::map<std::string, std::string> usual_;
};

size_t count_records(const Stage& stage, const std::string& kind) {
  size_t found = 0;
  for (const auto& entry : fs::directory_iterator(stage.root() / "record")) {
    if (entry.path().filename().string().starts_with(kind + ".")) ++found;
  }
  return found;
}

// Sends what the row says when as many workers are ready as it says.
class Sender {
 public:
  explicit Sender(const std::string& order) : done_(order.empty()) {
    if (done_) return;
    const size_t colon = order.find(':');
    workers_ = std::stoul(order.substr(0, colon));
    signal_ = signal_number(order.substr(colon + 1));
  }

  void look(const Stage& stage, const std::vector<std::unique_ptr<Launched>>& launches) {
    if (done_ || count_records(stage, "ready") < workers_) return;
    for (const auto& launch : launches) kill(launch->pid(), signal_);
    done_ = true;
  }

 private:
  bool done_;
  size_t workers_ = 0;
  int signal_ = 0;
};

std::vector<pid_t> processes_of(const Stage& stage) {
  std::vector<pid_t> found;
  const std::string mark = "FERRUN_DIFFERENTIAL=" + stage.root().string();
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (!std::ranges::all_of(name, [](unsigned char c) { return std::isdigit(c) != 0; })) continue;
    if (read_text(entry.path() / "environ").find(mark) != std::string::npos) found.push_back(std::stoi(name));
  }
  return found;
}

json tree(const Stage& stage, const std::string& folder) {
  json found = json::object();
  for (const auto& entry : fs::recursive_directory_iterator(stage.root() / folder)) {
    const fs::path relative = fs::relative(entry.path(), stage.root() / folder);
    if (folder == "work" && stage.was_there(relative)) continue;
    if (entry.is_directory() && relative == "app") continue;
    if (entry.is_directory() && !fs::is_empty(entry.path())) continue;
    const std::string name = stage.plain("/" + relative.string()).substr(1) + (entry.is_directory() ? "/" : "");
    std::vector<std::string> lines;
    if (entry.is_regular_file()) lines = lines_of(read_text(entry.path()));
    std::ranges::sort(lines);
    // What ferrun says of itself, and what is written into error files, has a form of its own.
    if (name.ends_with("ferrun.log")) continue;
    found[name] = name.ends_with(".json") ? json("json") : json(lines);
  }
  return found;
}

void see_workers(const Row& row, const Stage& stage, Seen& seen) {
  std::map<std::string, json> workers;
  for (const auto& entry : fs::directory_iterator(stage.root() / "record")) {
    const std::string name = entry.path().filename();
    if (name.starts_with("worker.")) workers[name.substr(7)] = json::parse(read_text(entry.path()));
    if (name.starts_with("signal.")) seen["signals"][name.substr(7)] = read_text(entry.path());
  }
  std::map<std::string, std::map<std::string, json>> by_aspect;
  for (const auto& [worker, record] : workers) {
    std::vector<std::string> argv = record["argv"];
    for (std::string& word : argv) word = stage.plain(word);
    by_aspect["argv"][worker] = argv;
    by_aspect["cwd"][worker] = stage.plain(record["cwd"]);
    by_aspect["process"][worker] = record["process"];
    for (const auto& [name, value] : record["env"].items()) {
      if (stage.is_usual(name, value)) continue;
      by_aspect["env." + name][worker] = stage.plain_variable(name, value, record["env"]);
    }
  }
  std::vector<std::string> names;
  for (const auto& [worker, record] : workers) names.push_back(worker);
  seen["workers"] = names;
  for (const auto& [aspect, values] : by_aspect) {
    const bool alike = values.size() == workers.size() && std::ranges::all_of(values, [&](const auto& entry) {
                         return entry.second == values.begin()->second;
                       });
    seen[aspect] = alike ? values.begin()->second : json(values);
  }
  if (row.python) seen.erase("process");  // that of Python's child
}

void see_report(const Stage& stage, const std::string& text, Seen& seen) {
  static const std::regex kTheirs(
      R"(Root Cause \(first observed failure\):\n\[\d+\]:\n.*\n.*\n  rank      : (\d+) .*\n  exitcode  : (-?\d+) .*\n  error_file: (.*)\n  traceback : (.*))");
  static const std::regex kOurs(R"(Root cause: rank (\d+) .*pid \d+\) (exited with code (\d+)|killed by (SIG\w+)))");
  static const std::regex kOurMessage(R"(\n  error:  (.*))");
  const std::string err = stage.plain(text);
  std::smatch found;
  if (std::regex_search(err, found, kTheirs)) {
    seen["report.rank"] = std::stoi(found[1]);
    seen["report.exitcode"] = std::stoi(found[2]);
    if (found[3].str() != "<N/A>") seen["report.message"] = found[4].str();
  } else if (std::regex_search(err, found, kOurs)) {
    seen["report.rank"] = std::stoi(found[1]);
    seen["report.exitcode"] = found[4].matched ? -signal_number(found[4].str()) : std::stoi(found[3]);
    if (std::regex_search(err, found, kOurMessage)) seen["report.message"] = found[1].str();
  }
}

// The launchers' own lines are theirs; of stderr only what workers wrote counts.
void see_output(const Stage& stage, const std::string& out, const std::string& err, Seen& seen) {
  std::vector<std::string> said = lines_of(stage.plain(out));
  std::ranges::sort(said);
  // A launcher's help, which is its own.
  seen["stdout"] = said.size() > kLongestOutput ? json("a long text") : json(said);
  std::vector<std::string> complained;
  for (const std::string& line : lines_of(stage.plain(err))) {
    if (line.find('%') != std::string::npos) complained.push_back(line);
  }
  std::ranges::sort(complained);
  seen["stderr"] = complained;
}

}  // namespace

Played play(const Row& row, Launcher& launcher, const std::string& probe, const std::string& python) {
  const Stage stage(row, probe, python);
  std::vector<std::unique_ptr<Launched>> launches;
  for (size_t node = 0; node < row.nodes.size(); ++node) launches.push_back(launcher.start(stage.launch(node)));
  Sender sender(row.send);
  const Clock::time_point begun = Clock::now();
  bool waited = false;
  const auto all_ended = [&] {
    return std::ranges::all_of(launches, [](auto& at) { return at->ended().has_value(); });
  };
  while (!all_ended()) {
    sender.look(stage, launches);
    if (Clock::now() - begun > (row.waits ? kWaitsAtLeast : kPatience)) {
      waited = true;
      for (const auto& launch : launches) kill(launch->pid(), SIGKILL);
      for (const pid_t pid : processes_of(stage)) kill(pid, SIGKILL);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  Played played;
  json exits = json::array();
  for (size_t node = 0; node < row.nodes.size(); ++node) {
    const Launch launch = stage.launch(node);
    played.out += read_text(launch.out);
    played.err += read_text(launch.err);
    exits.push_back(ExitStatus::from_wait_status(*launches[node]->ended()).shell_code());
  }
  Seen& seen = played.seen;
  const std::vector<pid_t> left = processes_of(stage);
  for (const pid_t pid : left) kill(pid, SIGKILL);
  const bool failed = std::ranges::any_of(exits, [](const json& code) { return code != 0; });
  const bool started = count_records(stage, "worker") > 0;
  seen["outcome"] = waited ? "waits" : !failed ? "ran" : started ? "failed" : "refused";
  if (waited) {
    if (!row.waits) throw std::runtime_error("it does not end: " + played.out + played.err);
    return played;
  }
  seen["exit"] = exits.size() == 1 ? exits[0] : exits;
  see_output(stage, played.out, played.err, seen);
  if (!failed || started) {
    see_workers(row, stage, seen);
    see_report(stage, played.err, seen);
    seen["files"] = tree(stage, "work");
    // Under --run-path Python's own helper of torchrun ends a moment after it.
    if (!left.empty() && !row.python) seen["left.processes"] = left.size();
  }
  std::vector<std::string> names;
  const json temporary = tree(stage, "tmp");
  for (const auto& [name, content] : temporary.items()) {
    const std::string top = name.substr(0, name.find('/'));
    if (top != "torchinductor_root" && !top.starts_with("pytorch-errorfile-")) names.push_back(top);
  }
  names.erase(std::unique(names.begin(), names.end()), names.end());
  seen["left.tmp"] = names;
  return played;
}

}  // namespace ferrun::differential
