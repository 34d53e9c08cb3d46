#include "worker/ddp/roll_call.h"

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <string_view>
#include <thread>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace ferrun::ddp {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// For the store itself, which answers at once where it is there, be the machine ever so busy.
constexpr milliseconds kStorePatience = std::chrono::seconds(5);

constexpr std::string_view kLeave = "leave";
constexpr std::string_view kAnswer = "answer";

std::vector<uint8_t> bytes(std::string_view text) { return {text.begin(), text.end()}; }
std::string text(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

std::string key(std::string_view kind, int rank) { return "ferrun/" + std::string(kind) + "/" + std::to_string(rank); }

std::string this_process() {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  return "pid " + std::to_string(getpid()) + " on " + host;
}

// Waits for the key until the deadline, by asking: the store's own wait tells of a timeout in lines of its own. The end
// of the store is an exception.
bool appears(c10d::Store& store, const std::string& wanted, steady_clock::time_point deadline) {
  constexpr milliseconds kPause(5);
  try {
    while (!store.check({wanted})) {
      if (steady_clock::now() >= deadline) return false;
      std::this_thread::sleep_for(kPause);
    }
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

RollCall::RollCall(const c10::intrusive_ptr<c10d::Store>& store, int rank, std::vector<int> ranks,
                   const CollectiveHistory& history)
    : asking_(store->clone()), answering_(store->clone()), rank_(rank), ranks_(std::move(ranks)), history_(history) {
  asking_->set(key("member", rank_), bytes(this_process()));
  thread_ = std::thread([this] { answer_when_called(); });
}

RollCall::~RollCall() {
  try {
    asking_->setTimeout(std::chrono::seconds(2));
    asking_->set(key("call", rank_), bytes(kLeave));
    thread_.join();
  } catch (const std::exception&) {
    // The store is gone, and with it the connection in which the thread sleeps: it is ending by itself.
    thread_.join();
  }
}

void RollCall::set_activity(std::string activity) {
  const std::lock_guard lock(mutex_);
  activity_ = std::move(activity);
}

void RollCall::answer_when_called() {
  // The longest wait that fits the store's millisecond arithmetic; no run is without a call or an end for so long.
  constexpr milliseconds kForever = std::chrono::hours(24 * 20);
  try {
    answering_->wait({key("call", rank_)}, kForever);
    if (text(answering_->get(key("call", rank_))) == kLeave) {
      return;
    }
    answer(*answering_);
  } catch (const std::exception&) {
    // The store has gone: the launcher or rank 0 ended the job, and nobody is left who could ask.
  }
}

// "here" comes last: who sees it finds the rest.
void RollCall::answer(c10d::Store& store) {
  std::string activity;
  {
    const std::lock_guard lock(mutex_);
    activity = activity_;
  }
  store.set(key("collectives", rank_), bytes(encode(history_.recent())));
  store.set(key("exchanges", rank_), bytes(encode(history_.exchanges().recent())));
  store.set(key("here", rank_), bytes(activity));
}

std::vector<RankSign> RollCall::joined() {
  std::vector<RankSign> signs;
  for (const int rank : ranks_) {
    RankSign sign;
    sign.rank = rank;
    sign.who = "rank " + std::to_string(rank);
    sign.joined = asking_->check({key("member", rank)});
    if (sign.joined) {
      sign.who += " (" + text(asking_->get(key("member", rank))) + ")";
    }
    signs.push_back(std::move(sign));
  }
  return signs;
}

std::vector<RankSign> RollCall::ask(milliseconds patience) {
  asking_->setTimeout(std::max(patience, kStorePatience));
  const auto deadline = steady_clock::now() + patience;
  answer(*asking_);
  std::vector<RankSign> signs = joined();
  for (RankSign& sign : signs) {
    if (sign.rank != rank_ && sign.joined) {
      asking_->set(key("call", sign.rank), bytes(kAnswer));
    }
  }
  for (RankSign& sign : signs) {
    if (!sign.joined || !appears(*asking_, key("here", sign.rank), deadline)) continue;
    sign.answered = true;
    sign.activity = text(asking_->get(key("here", sign.rank)));
    sign.collectives = decode_collectives(text(asking_->get(key("collectives", sign.rank))));
    sign.exchanges = decode_exchanges(text(asking_->get(key("exchanges", sign.rank))));
  }
  return signs;
}

}  // namespace ferrun::ddp
