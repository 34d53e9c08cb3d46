#include "worker/train/output_plan.h"

namespace ferrun::train {
namespace {

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// The file that --resume means; empty when it was not given, or was to be taken only if there is one.
Result<std::string> resumed_checkpoint(const OutputRequest& request, const OutputFacts& facts) {
  if (!request.resume) {
    return std::string();
  }
  if (*request.resume == kResumeIfThere) {
    const std::string last = join_path(request.output_dir, kLastModel);
    return facts.exists(last) ? last : std::string();
  }
  const std::string& named = request.resume->empty() ? request.output_dir : *request.resume;
  const std::string file = facts.is_directory(named) || request.resume->empty() ? join_path(named, kLastModel) : named;
  if (!facts.exists(file)) {
    return Error{ErrorKind::kUsage, "--resume: there is no " + file};
  }
  return file;
}

std::string directory_for(const OutputRequest& request, const std::string& resumed) {
  if (!request.output_dir.empty()) {
    return request.output_dir;
  }
  if (!resumed.empty()) {
    return parent_of(resumed);
  }
  return join_path("runs", request.launch_id.empty() ? request.fresh_name : request.launch_id);
}

}  // namespace

std::string join_path(const std::string& directory, const std::string& name) {
  return directory.empty() || directory.back() == '/' ? directory + name : directory + "/" + name;
}

Result<OutputPlan> plan_output(const OutputRequest& request, const OutputFacts& facts) {
  const Result<std::string> resumed = resumed_checkpoint(request, facts);
  if (!resumed) {
    return resumed.error();
  }
  OutputPlan plan{directory_for(request, *resumed), *resumed, /*of_launch=*/false};
  const std::string last = join_path(plan.directory, kLastModel);
  if (!request.launch_id.empty() && facts.launch_of(last) == request.launch_id) {
    // An earlier attempt of this launch got this far, beyond anything that --resume named. The count of restarts does
    // not tell: a group that a lost or a new node made form again has spent none.
    plan.checkpoint = last;
    plan.of_launch = true;
    return plan;
  }
  std::string in_the_way;
  for (const char* name : {kPreviousBest, kBestModel, kLastModel}) {
    const std::string file = join_path(plan.directory, name);
    if (facts.exists(file)) in_the_way = file;
  }
  if (in_the_way.empty() || request.overwrite || facts.same_file(plan.checkpoint, in_the_way)) {
    return plan;
  }
  return Error{ErrorKind::kUsage, in_the_way + " is a checkpoint of another run: continue it with --resume" +
                                      (request.resume ? " " + in_the_way : "") +
                                      ", replace it with --overwrite, or choose another --output-dir"};
}

}  // namespace ferrun::train
