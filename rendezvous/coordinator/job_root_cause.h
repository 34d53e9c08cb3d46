// Which failure of a whole job came first, without a clock that nodes share. Pure.
//
// A node tells how long ago it noticed a failure. The message took between nothing and a round trip, so the failure was
// noticed between (arrival - age - round trip) and (arrival - age) on the coordinator's clock. Where these intervals do
// not overlap they give the order; where they do, the failure that explains itself best is the cause. Who only lost its
// connection to another rank is the cause only where nobody else failed, and who was stopped while it ended by itself
// only where all others did that.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "common/time.h"
#include "rendezvous/job/failure.h"

namespace ferrun {

// How the line with the root cause begins in the report of a job.
inline constexpr const char* kRootCauseLabel = "Root cause: ";

// A failure on the coordinator's clock.
struct FailureSighting {
  std::string host;  // empty in a job of one node
  int node_rank = 0;
  LocalFailure failure;
  TimePoint earliest;  // noticed between these two
  TimePoint latest;
};

// `round_trip` is an upper bound for the time that the message travelled. Nothing fails before its round began.
FailureSighting sight(std::string host, int node_rank, LocalFailure failure, TimePoint arrival, Duration round_trip,
                      TimePoint round_began);

struct JobRootCause {
  size_t cause = 0;           // index
  std::vector<size_t> ties;   // may have come first as well
  std::vector<size_t> later;  // came after it
};

// At least one sighting.
JobRootCause find_root_cause(const std::vector<FailureSighting>& sightings);

// "node1: rank 5 (local_rank 1, pid 4711) exited with code 3", "node2 was lost: its connection ended".
std::string headline(const FailureSighting& sighting);

// For the end of the job: what else failed, one line each, then the root cause with its evidence.
std::vector<std::string> describe(const std::vector<FailureSighting>& sightings, const JobRootCause& root);

}  // namespace ferrun
