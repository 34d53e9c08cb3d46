#include "launcher/config/output_options.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "launcher/config/names.h"
#include "launcher/config/values.h"

namespace ferrun {
namespace {

// Each is renamed at every exchange.
constexpr int kMostOldLogs = 1000;

class OutputReader {
 public:
  OutputReader(const RawOptions& options, const HostFacts& facts, JobConfig& config)
      : options_(options), facts_(facts), config_(config) {}

  Status read() {
    OutputConfig& output = config_.output;
    const RawValue redirects = options_.value("redirects");
    Result<std::vector<StreamSet>> redirected = parse_stream_spec(redirects.text, config_.workers);
    if (!redirected) return bad_value(redirects, redirected.error().message);
    output.redirects = std::move(*redirected);
    const RawValue tee = options_.value("tee");
    Result<std::vector<StreamSet>> teed = parse_stream_spec(tee.text, config_.workers);
    if (!teed) return bad_value(tee, teed.error().message);
    output.tee = std::move(*teed);

    if (const RawValue* filter = options_.given("local-ranks-filter"); filter != nullptr && !filter->text.empty()) {
      Result<std::vector<int>> ranks = parse_rank_list(filter->text);
      if (!ranks) return bad_value(*filter, ranks.error().message);
      output.console = std::move(*ranks);
    }
    output.prefix_template = options_.value("log-line-prefix-template").text;
    if (output.prefix_template.empty()) {
      output.prefix_template = facts_.environment.get_or("TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE", "");
    }
    if (output.prefix_template.empty()) output.prefix_template = "[${role_name}${local_rank}]:";
    choose_log_folder();
    choose_timer_pipe();
    config_.termination_log = termination_log(options_, facts_);
    if (Status read = read_events(); !read) return read;
    if (Status read = read_rotation(); !read) return read;
    return read_line_filters();
  }

 private:
  void choose_timer_pipe() {
    if (facts_.environment.get_or("TORCHELASTIC_ENABLE_FILE_TIMER", "") != "1") return;
    config_.timer_pipe = facts_.environment.get_or("TORCHELASTIC_TIMER_FILE", "");
    if (config_.timer_pipe.empty()) {
      config_.timer_pipe = temporary_folder() / ("watchdog_timer_" + random_uuid(facts_.random[3], facts_.random[1]));
    }
    config_.environment.set("TORCHELASTIC_TIMER_FILE", config_.timer_pipe.string());
  }

  Status read_events() {
    const RawValue handler = options_.value("event-log-handler");
    if (handler.text != "null" && handler.text != "console" && handler.text != "dynamic_rendezvous") {
      return bad_value(handler, "expected null or console; --event-log writes events to a file");
    }
    config_.events.console = handler.text == "console";
    config_.events.backend = options_.on("standalone") ? "c10d" : options_.value("rdzv-backend").text;
    config_.events.file = options_.value("event-log").text;
    return ok_status();
  }

  Status read_rotation() {
    OutputConfig& output = config_.output;
    constexpr size_t kLeast = 4096;
    const RawValue old = options_.value("log-keep");
    const Result<int> keep = parse_whole_number(old.text, 0);
    if (!keep) return bad_value(old, keep.error().message);
    if (*keep > kMostOldLogs) {
      return bad_value(old, "expected at most " + std::to_string(kMostOldLogs) + " old files");
    }
    const RawValue* const most = options_.given("log-max-size");
    if (most == nullptr || most->text.empty()) return ok_status();
    const std::optional<size_t> bytes = parse_size(most->text);
    if (!bytes || *bytes < kLeast) return bad_value(*most, "expected a size of at least 4k, as in 500k, 100M or 2G");
    output.rotation = {*bytes, *keep};
    if (output.wants_files() && output.writes_streams()) return ok_status();
    config_.warnings.push_back(most->origin + "=" + most->text +
                               ": no worker's output is written to files; see --redirects and --tee");
    return ok_status();
  }

  Status read_line_filters() {
    OutputConfig& output = config_.output;
    const auto teed = [&](bool StreamSet::*stream) {
      return std::ranges::any_of(output.tee, [stream](StreamSet streams) { return streams.*stream; });
    };
    struct Option {
      const char* name;
      const char* stream;
      bool teed;
      std::vector<std::string>& texts;
    };
    for (const Option& option :
         {Option{"duplicate-stdout-filters", "stdout", teed(&StreamSet::out), output.line_filters.out},
          Option{"duplicate-stderr-filters", "stderr", teed(&StreamSet::err), output.line_filters.err}}) {
      const RawValue* given = options_.given(option.name);
      if (given == nullptr) continue;
      if (!output.wants_files()) return bad_value(*given, "--log-dir=/dev/null keeps no files: name a folder");
      option.texts = split_texts(given->text);
      if (option.teed) continue;
      config_.warnings.push_back(given->origin + "=" + given->text + ": no worker's " + option.stream +
                                 " is teed, so there are no lines for it; see --tee");
    }
    return ok_status();
  }

  void choose_log_folder() {
    OutputConfig& output = config_.output;
    const std::string folder = options_.value("log-dir").text;
    if (folder == "/dev/null") return;
    const std::string random = lower_case_name(facts_.random[3], 8);
    output.temporary = folder.empty();
    if (output.temporary) {
      output.base = temporary_folder() / ("ferrun_" + random);
    } else {
      output.base = facts_.current_folder / folder;  // workers may leave the folder that they are started in
    }
    output.job_folder = file_name_of(config_.run_id) + "_" + random;
  }

  // TMPDIR, or where it does not serve the places that Python takes. Whether the folder can be made shows at the start.
  std::filesystem::path temporary_folder() {
    const std::string wanted = facts_.environment.get_or("TMPDIR", "");
    if (!wanted.empty() && facts_.files.writable_folder(wanted)) {
      return (facts_.current_folder / wanted).lexically_normal();  // workers may leave the folder that they start in
    }
    for (const char* folder : {"/tmp", "/var/tmp", "."}) {
      if (!facts_.files.writable_folder(folder)) continue;
      const std::filesystem::path found = (facts_.current_folder / folder).lexically_normal();
      if (!wanted.empty()) {
        config_.warnings.push_back("TMPDIR=" + wanted +
                                   " is no folder that can be written to: the workers' error files" +
                                   " and logs go below " + found.string());
      }
      return found;
    }
    return wanted.empty() ? "/tmp" : wanted;
  }

  const RawOptions& options_;
  const HostFacts& facts_;
  JobConfig& config_;
};

}  // namespace

Status read_output_options(const RawOptions& options, const HostFacts& facts, JobConfig& config) {
  return OutputReader(options, facts, config).read();
}

// Kubernetes puts an empty file there, and shows what it holds at the end with the pod.
std::filesystem::path termination_log(const RawOptions& options, const HostFacts& facts) {
  const RawValue* given = options.given("termination-log");
  const bool in_pod = !facts.environment.get_or("KUBERNETES_SERVICE_HOST", "").empty();
  const std::string path = given != nullptr ? given->text : in_pod ? "/dev/termination-log" : "";
  if (path.empty() || path == "/dev/null") return {};
  if (given == nullptr && facts.files.kind(path) != FileQueries::Kind::kFile) return {};
  return facts.current_folder / path;
}

}  // namespace ferrun
