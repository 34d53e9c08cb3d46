#include "launcher/config/doctor_job.h"

#include <utility>

#include "launcher/config/job_token.h"
#include "launcher/config/worker_count.h"

namespace ferrun {

Result<DoctorJob> make_doctor_job(const CommandLine& line, const HostFacts& facts) {
  RawOptions options = line.options;
  DoctorJob job;
  job.alone = options.value("rdzv-endpoint").text.empty() && options.given("rdzv-backend") == nullptr;
  if (job.alone) options.set("rdzv-endpoint", RawValue{"127.0.0.1", "--rdzv-endpoint"});
  job.environment = facts.environment;
  job.as_json = options.on("json");
  if (const RawValue file = options.value("token-file"); !file.text.empty()) {
    job.token_origin = file.origin + "=" + file.text;
    job.token_file = file.text;
  } else if (facts.environment.contains(kTokenVariable)) {
    job.token_origin = kTokenVariable;
  }
  // Read once: a pipe gives its secret once.
  const Result<JobToken> token = job_token(options, facts);
  if (!token) job.token_error = token.error().message;
  HostFacts with_token = facts;
  with_token.environment.set(kTokenVariable, token ? token->text : "");
  options.set("token-file", RawValue{"", "--token-file"});
  const RawValue workers = options.value("nproc-per-node");
  const Result<WorkerCount> count = worker_count(workers.text, facts);
  if (!count) return Error{ErrorKind::kUsage, workers.origin + "=" + workers.text + ": " + count.error().message};
  job.workers = count.value().workers;
  Result<RendezvousConfig> rendezvous = read_rendezvous(options, NodeRange{1, 2}, with_token);
  if (!rendezvous) return rendezvous.error();
  job.rendezvous = std::move(*rendezvous);
  return job;
}

}  // namespace ferrun
