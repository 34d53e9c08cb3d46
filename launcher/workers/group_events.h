// What a group machine is told and what it asks for.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <variant>

#include "common/exit_status.h"
#include "common/result.h"
#include "common/time.h"

namespace ferrun {

// --- Facts and orders. ---

struct RankStarted {
  int local_rank = 0;
  pid_t pid = 0;
};

struct RankNotStarted {
  int local_rank = 0;
  Error error;
};

// The template did not fork it, so it does not run.
struct RankNotForked {
  int local_rank = 0;
};

// With `in_question` a failure may only have followed from another's: the others are asked to end when FailureJudged
// has said, or has not said in time, what it is.
struct RankEnded {
  int local_rank = 0;
  ExitStatus status;
  bool in_question = false;
};

// What a failure in question is: one that explains itself, or a victim of somebody else's.
struct FailureJudged {
  bool explained = false;
};

// A signal of SignalRank came too late: the worker had ended by itself. Told before or after its RankEnded.
struct SignalMissed {
  int local_rank = 0;
  int signal = 0;
};

// Ask every worker to end, by `signal` (0: SIGTERM, unless they have been asked already); they have one common grace
// for it, the group's unless another is given. When they are being stopped already the shorter time is left to them.
// With `hold` the grace begins now, and the workers are asked so much later: whoever signalled ferrun may have
// signalled them as well, which is known by then. With `for_last_words` workers that have not been asked yet may first
// end by themselves, as after a failure that was judged a victim.
struct StopGroup {
  int signal = 0;
  std::string reason;
  std::optional<Duration> grace{};
  Duration hold{};
  bool for_last_words = false;
};

// The workers have been asked by whoever asked ferrun: they are not asked again, or only `again` later.
struct AskedAlready {
  std::optional<Duration> again{};
};

// A signal that ends nothing, for every worker that runs. Not while they are being stopped.
struct PassSignal {
  int signal = 0;
};

// No more asking.
struct KillGroup {
  std::string reason;
};

// The deadline has come: of the grace, or of asking.
struct GraceOver {};

using GroupEvent = std::variant<RankStarted, RankNotStarted, RankNotForked, RankEnded, FailureJudged, SignalMissed,
                                StopGroup, AskedAlready, PassSignal, KillGroup, GraceOver>;

// --- Effects, to be carried out in their order. ---

// Answered by RankStarted or RankNotStarted; unless `afresh`, also by RankNotForked.
struct StartRank {
  int local_rank = 0;
  bool afresh = false;  // not from a template
};

// Answered by SignalMissed when the worker had already ended.
struct SignalRank {
  int local_rank = 0;
  pid_t pid = 0;
  int signal = 0;
  bool first = false;  // of those that are to end this worker
};

// A decision and its reason.
struct TellUser {
  std::string line;
};

using GroupEffect = std::variant<StartRank, SignalRank, TellUser>;

}  // namespace ferrun
