#include "launcher/io/probe/open_files.h"

#include <sys/resource.h>

#include <algorithm>
#include <string>

namespace ferrun {

std::optional<uint64_t> soft_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::nullopt;
  return limit.rlim_cur;
}

Status ensure_open_files(size_t needed) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return ok_status();
  const rlim_t hard = limit.rlim_max;
  limit.rlim_cur = std::min<rlim_t>(needed, hard);
  if (hard >= needed && setrlimit(RLIMIT_NOFILE, &limit) == 0) return ok_status();
  return Error{ErrorKind::kPlatform, "the job needs about " + std::to_string(needed) +
                                         " open files, but the limit is " + std::to_string(hard) +
                                         ": raise it (ulimit -Hn " + std::to_string(needed) +
                                         " as root, or LimitNOFILE= of the service), or start fewer workers"};
}

void raise_open_files(size_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace ferrun
