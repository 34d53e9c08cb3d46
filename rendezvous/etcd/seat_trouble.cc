#include "rendezvous/etcd/seat_trouble.h"

namespace ferrun::etcd {
namespace {

using namespace std::chrono_literals;

constexpr Duration kPatience = 1s;
constexpr Duration kBetweenLines = 5s;

}  // namespace

std::string words_of(const Failure& failure) {
  switch (failure.refusal) {
    case Refusal::kFull:
      return "etcd is full and takes no writes (" + failure.line +
             "): compact and defragment it, then 'etcdctl alarm disarm'";
    case Refusal::kUnauthenticated:
    case Refusal::kForbidden:
      return "etcd refuses it (" + failure.line + "): user and password_file of --rdzv-conf say who asks";
    case Refusal::kNoQuorum: return "etcd has no quorum (" + failure.line + ")";
    case Refusal::kNoAnswer: return "no answer (" + failure.line + ")";
    case Refusal::kNoTls:
    case Refusal::kOther: break;
  }
  return failure.line;
}

std::optional<Trouble> SeatTrouble::failed(const Failure& failure, TimePoint now) {
  if (!since_) since_ = now;
  const bool refused = failure.refusal == Refusal::kForbidden || failure.refusal == Refusal::kUnauthenticated ||
                       failure.refusal == Refusal::kNoTls;
  if (refused && !has_answered_) return Trouble{servers_ + ": " + words_of(failure), false, true};
  if (now - *since_ < kPatience && failure.refusal != Refusal::kFull) return std::nullopt;
  if (said_at_ && now - *said_at_ < kBetweenLines) return std::nullopt;
  said_at_ = now;
  return Trouble{servers_ + ": " + words_of(failure) + "; workers run on, and no round starts until it answers", false,
                 false};
}

std::optional<Trouble> SeatTrouble::answered() {
  has_answered_ = true;
  since_.reset();
  if (!said_at_) return std::nullopt;
  said_at_.reset();
  return Trouble{servers_ + " answers again", true, false};
}

}  // namespace ferrun::etcd
