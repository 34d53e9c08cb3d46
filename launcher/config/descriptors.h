// How many open files a job needs. Pure.
#pragma once

#include <cstddef>

#include "launcher/config/job_config.h"

namespace ferrun {

// An estimate from above for the agent: per worker its pidfd, the pipes and files of its streams, its connections to
// the store (torch opens up to four per rank), and what ferrun itself holds.
size_t descriptors_needed(const JobConfig& config);
// The same for a number of workers whose streams are all teed to files.
size_t descriptors_for_workers(int workers);

// Beyond that, what the agent would need with several nodes if it coordinated the largest job and served its store.
size_t descriptors_for_all_nodes(int max_nodes, int workers_per_node);

// Of the ferrun that a user starts with --hosts: per host three pipes and a pidfd.
size_t descriptors_for_hosts(size_t hosts);

}  // namespace ferrun
