#include "worker/ddp/process_group.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <numeric>
#include <stdexcept>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>

#include "worker/ddp/failure_words.h"
#include "worker/ddp/roll_call.h"
#include "worker/ddp/store_reach.h"

namespace ferrun::ddp {
namespace {

using std::chrono::milliseconds;

// c10's messages carry a C++ stack behind the first line.
std::string first_line(const std::exception& failure) {
  const auto* const error = dynamic_cast<const c10::Error*>(&failure);
  const std::string whole = error != nullptr ? error->what_without_backtrace() : failure.what();
  return whole.substr(0, whole.find('\n'));
}

std::string seconds(milliseconds time) {
  const auto whole = time.count() / 1000;
  return time.count() % 1000 == 0 ? std::to_string(whole) + " s" : std::to_string(time.count()) + " ms";
}

c10::intrusive_ptr<c10d::Store> open_store(const GroupAddress& address, milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = address.master_port;
  options.isServer = address.rank == 0 && !address.agent_serves_store;
  options.numWorkers = static_cast<size_t>(address.world_size);
  options.timeout = timeout;
  options.multiTenant = !address.agent_serves_store;
  return c10::make_intrusive<c10d::TCPStore>(address.master_addr, options);
}

std::shared_ptr<gloo::transport::Device> gloo_device(const GroupAddress& address, const std::string& interface) {
  const bool lazy = c10d::getDefaultGlooLazyInit();
  if (!interface.empty()) {
    return c10d::ProcessGroupGloo::createDeviceForInterface(interface, lazy);
  }
  if (address.on_loopback()) {
    // The default asks the resolver for this machine's name, which fails or gives a foreign address in many containers.
    return c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1", lazy);
  }
  return c10d::ProcessGroupGloo::createDefaultDevice(lazy);
}

// How long ranks are waited for that may stand still, and those that have probably ended.
constexpr milliseconds kPatienceWithTheSilent = std::chrono::seconds(5);
constexpr milliseconds kPatienceWithTheLost(500);

constexpr const char* kLostWords = "lost the connection to another rank, which ended first";

std::map<int, RecentCollectives> collectives_of(const std::vector<RankSign>& signs) {
  std::map<int, RecentCollectives> by_rank;
  for (const RankSign& sign : signs) {
    if (sign.answered) by_rank.emplace(sign.rank, sign.collectives);
  }
  return by_rank;
}

std::atomic<ProcessGroup*> abort_explainer{nullptr};

std::string list(const std::vector<std::string>& words) {
  std::string joined;
  for (size_t i = 0; i < words.size(); ++i) {
    joined += (i == 0 ? "" : i + 1 == words.size() ? " and " : ", ") + words[i];
  }
  return joined;
}

// ": no answer from rank 1 (…)". A rank that fails because it lost another one leaves an answer in the store before it
// ends: who has left none was there first.
std::string no_answer_from(const std::vector<RankSign>& signs) {
  std::vector<std::string> gone;
  for (const RankSign& sign : signs) {
    if (sign.joined && !sign.answered) gone.push_back(sign.who);
  }
  return gone.empty() ? "" : ": no answer from " + list(gone);
}

// ": rank 1 (…) has called 3 collectives where others have called 4", for when all have answered.
std::string behind_the_others(const std::vector<RankSign>& signs) {
  const auto calls = [](const RankSign& sign) {
    return sign.collectives.empty() ? 0 : sign.collectives.rbegin()->first;
  };
  int64_t most = 0;
  for (const RankSign& sign : signs) most = std::max(most, calls(sign));
  for (const RankSign& sign : signs) {
    if (!sign.answered || calls(sign) == most) continue;
    return ": " + sign.who + " has called " + std::to_string(calls(sign)) + " collectives where others have called " +
           std::to_string(most);
  }
  return "";
}

// Gloo writes to sockets whose peer may have ended; the signal would end this process too, without a word.
void ignore_broken_pipes() {
  struct sigaction current = {};
  if (sigaction(SIGPIPE, nullptr, &current) == 0 && current.sa_handler == SIG_DFL) std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace

ProcessGroup::ProcessGroup(GroupAddress address, GroupOptions options)
    : address_(std::move(address)), options_(std::move(options)), ranks_(static_cast<size_t>(address_.world_size)) {
  std::iota(ranks_.begin(), ranks_.end(), 0);
}

ProcessGroup::~ProcessGroup() {
  ProcessGroup* self = this;
  abort_explainer.compare_exchange_strong(self, nullptr);
}

Result<std::shared_ptr<ProcessGroup>> ProcessGroup::create(const GroupAddress& address, const GroupOptions& options) {
  std::shared_ptr<ProcessGroup> group(new ProcessGroup(address, options));
  if (address.alone()) {
    return group;
  }
  ignore_broken_pipes();
  const std::string where = address.master_addr + ":" + std::to_string(address.master_port);
  try {
    if (address.rank != 0 || address.agent_serves_store) {
      const auto tell = [&](const std::string& refused) {
        std::fprintf(stderr, "rank %d waits for the job's store at %s (MASTER_ADDR:MASTER_PORT): %s\n", address.rank,
                     where.c_str(), refused.c_str());
      };
      const Status there = wait_for_listener(address.master_addr, address.master_port,
                                             {.timeout = options.timeout, .still_waiting = tell});
      if (!there) throw std::runtime_error(there.error().message);
    }
    group->store_ = open_store(address, options.timeout);
    group->roll_call_ = std::make_unique<RollCall>(group->store_, address.rank, group->ranks_, group->history_);
  } catch (const std::exception& failure) {
    return Error{ErrorKind::kPlatform,
                 "cannot reach the job's store at " + where + " (MASTER_ADDR:MASTER_PORT): " + first_line(failure)};
  }
  try {
    group->connect(c10::make_intrusive<c10d::PrefixStore>("default_pg", group->store_));
  } catch (const std::exception& failure) {
    return Error{ErrorKind::kPlatform, group->explain_no_connection(failure)};
  }
  if (options.on_abort) {
    abort_explainer = group.get();
    std::set_terminate(explain_before_abort);
  }
  return group;
}

Result<std::shared_ptr<ProcessGroup>> ProcessGroup::new_group(std::vector<int> ranks, milliseconds timeout) {
  const auto refused = [](const std::string& why) { return Error{ErrorKind::kUser, "new_group: " + why}; };
  if (name_ != "0") return refused("a sub-group has none of its own: ask the job's group");
  if (ranks.empty()) return refused("no ranks are given");
  const std::string name = std::to_string(groups_made_++);
  std::sort(ranks.begin(), ranks.end());
  for (size_t i = 0; i < ranks.size(); ++i) {
    const std::string named = "rank " + std::to_string(ranks[i]);
    if (ranks[i] < 0 || ranks[i] >= world_size()) {
      return refused(named + " is none of 0 to " + std::to_string(world_size() - 1));
    }
    if (i > 0 && ranks[i] == ranks[i - 1]) return refused(named + " is given twice");
  }
  const auto own = std::find(ranks.begin(), ranks.end(), rank());
  if (own == ranks.end()) return std::shared_ptr<ProcessGroup>();
  GroupAddress address = address_;
  address.rank = static_cast<int>(own - ranks.begin());
  address.world_size = static_cast<int>(ranks.size());
  GroupOptions options = options_;
  options.on_abort = nullptr;
  if (timeout > milliseconds(0)) options.timeout = timeout;
  std::shared_ptr<ProcessGroup> group(new ProcessGroup(address, options));
  group->name_ = name;
  group->ranks_ = ranks;
  if (group->alone()) return group;
  try {
    group->store_ = c10::make_intrusive<c10d::PrefixStore>("ferrun/group/" + name, store_);
    group->roll_call_ = std::make_unique<RollCall>(group->store_, rank(), ranks, group->history_);
    group->connect(group_store_);
  } catch (const std::exception& failure) {
    return Error{ErrorKind::kPlatform, group->explain_no_connection(failure)};
  }
  return group;
}

std::string ProcessGroup::called() const { return name_ == "0" ? "the job" : "sub-group " + name_; }

// `store`: the one in which Python's init_process_group() or new_group() puts a group's name before the keys; a
// sub-group's is the one that the job's group has made of it so.
void ProcessGroup::connect(const c10::intrusive_ptr<c10d::Store>& store) {
  group_store_ = c10::make_intrusive<c10d::PrefixStore>(name_ + "/", store);
  const auto cpu_store = c10::make_intrusive<c10d::PrefixStore>("cpu/", group_store_);

  auto gloo_options = c10d::ProcessGroupGloo::Options::create(options_.timeout);
  gloo_options->devices.push_back(gloo_device(address_, options_.interface));
  const auto gloo =
      c10::make_intrusive<c10d::ProcessGroupGloo>(cpu_store, address_.rank, address_.world_size, gloo_options);

  group_ = c10::make_intrusive<c10d::ProcessGroup>(group_store_, address_.rank, address_.world_size);
  group_->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::BackendType::GLOO,
                     std::optional<c10::intrusive_ptr<c10d::Backend>>(gloo));
  group_->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
  group_->setGroupName(name_);
}

void ProcessGroup::attach_backend(const Attach& attach) {
  if (!alone()) {
    attach(*group_, group_store_);
  }
}

void ProcessGroup::all_reduce_sum(at::Tensor& tensor) { start_all_reduce_sum(tensor)(); }

Wait ProcessGroup::start_all_reduce_sum(at::Tensor& tensor) {
  if (alone()) {
    return [] {};
  }
  note(Collective::of(CollectiveKind::kAllReduce, tensor));
  std::vector<at::Tensor> tensors{tensor};
  return [work = group_->allreduce(tensors)] { work->wait(); };
}

void ProcessGroup::broadcast(at::Tensor& tensor, int root) {
  if (alone()) {
    return;
  }
  note(Collective::of(CollectiveKind::kBroadcast, tensor, root));
  c10d::BroadcastOptions options;
  options.rootRank = root;
  std::vector<at::Tensor> tensors{tensor};
  group_->broadcast(tensors, options)->wait();
}

std::string ProcessGroup::broadcast_bytes(std::string bytes, int root) {
  if (alone()) {
    return bytes;
  }
  at::Tensor size = at::empty({1}, at::kLong);
  *size.mutable_data_ptr<int64_t>() = static_cast<int64_t>(bytes.size());
  broadcast(size, root);
  bytes.resize(static_cast<size_t>(*size.const_data_ptr<int64_t>()));
  if (bytes.empty()) {
    return bytes;
  }
  at::Tensor data = at::empty({static_cast<int64_t>(bytes.size())}, at::kByte);
  std::memcpy(data.mutable_data_ptr(), bytes.data(), bytes.size());
  broadcast(data, root);
  std::memcpy(bytes.data(), data.const_data_ptr(), bytes.size());
  return bytes;
}

std::vector<at::Tensor> ProcessGroup::all_gather(const at::Tensor& tensor) {
  if (alone()) {
    return {tensor};
  }
  note(Collective::of(CollectiveKind::kAllGather, tensor));
  std::vector<std::vector<at::Tensor>> gathered(1);
  for (int rank = 0; rank < world_size(); ++rank) {
    gathered[0].push_back(at::empty_like(tensor));
  }
  std::vector<at::Tensor> own{tensor};
  group_->allgather(gathered, own)->wait();
  return gathered[0];
}

void ProcessGroup::barrier() {
  if (alone()) {
    return;
  }
  note({});
  group_->barrier()->wait();
}

void ProcessGroup::set_activity(std::string activity) {
  if (roll_call_) {
    roll_call_->set_activity(std::move(activity));
  }
}

Status ProcessGroup::check_same_collectives() {
  if (alone()) {
    return ok_status();
  }
  const auto [count, digest] = history_.digest();
  at::Tensor own = at::empty({3}, at::kLong);
  own.mutable_data_ptr<int64_t>()[0] = count;
  own.mutable_data_ptr<int64_t>()[1] = digest;
  own.mutable_data_ptr<int64_t>()[2] = history_.exchanges().balance(rank());
  bool same = true;
  uint64_t balance = 0;
  for (const at::Tensor& other : all_gather(own)) {
    const int64_t* const theirs = other.const_data_ptr<int64_t>();
    same = same && theirs[0] == count && theirs[1] == digest;
    balance += static_cast<uint64_t>(theirs[2]);
  }
  if (same && balance == 0) return ok_status();
  std::string problem;
  const std::string difference = difference_between(ask_ranks(kPatienceWithTheSilent, problem));
  if (!difference.empty()) return Error{ErrorKind::kInternal, difference};
  if (same) return ok_status();  // a message is still on its way
  return Error{ErrorKind::kInternal, "the ranks have called different collectives, longer ago than they remember"};
}

// Which calls of the ranks do not go together; empty when nothing is known of any.
std::string ProcessGroup::difference_between(const std::vector<RankSign>& signs) const {
  std::string mispaired = mispaired_collectives(collectives_of(signs), called());
  if (!mispaired.empty()) return mispaired;
  std::map<int, std::vector<Exchange>> exchanges;
  for (const RankSign& sign : signs) {
    const auto place = std::find(ranks_.begin(), ranks_.end(), sign.rank);
    if (sign.answered && place != ranks_.end()) exchanges[static_cast<int>(place - ranks_.begin())] = sign.exchanges;
  }
  return unequal_exchange(exchanges, ranks_);
}

Failure ProcessGroup::explain(const std::exception& failure) {
  return alone() ? Failure{FailureCause::kOther, first_line(failure)} : explain_failed_collective(first_line(failure));
}

Failure ProcessGroup::explain_failed_collective(const std::string& line) {
  const FailureWords words = meaning_of(line);
  if (words == FailureWords::kNone) {
    return {FailureCause::kOther, line};
  }
  const bool timed_out = words == FailureWords::kTimedOut;
  const bool lost = words == FailureWords::kLostPeer;
  std::string problem;
  const std::vector<RankSign> signs = ask_ranks(lost ? kPatienceWithTheLost : kPatienceWithTheSilent, problem);
  if (const std::string difference = difference_between(signs); !difference.empty()) {
    return {FailureCause::kOther, difference};
  }
  if (timed_out) {
    return explain_timeout(signs, problem);
  }
  if (lost) {
    const std::string gone = no_answer_from(signs);
    return {FailureCause::kLostPeer, std::string(kLostWords) + (gone.empty() ? behind_the_others(signs) : gone)};
  }
  const RecentCollectives recent = history_.recent();
  const std::string last = recent.empty() ? "" : "in or after " + recent.rbegin()->second + ": ";
  return {FailureCause::kOther, last + line};
}

// A terminate handler takes no argument, so the group has to be found by its own.
void ProcessGroup::explain_before_abort() {
  ProcessGroup* const group = abort_explainer.exchange(nullptr);
  const std::exception_ptr thrown = std::current_exception();
  if (group != nullptr && thrown != nullptr) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& failure) {
      group->options_.on_abort(group->explain(failure));
    } catch (...) {
      // Nobody's that could be explained.
    }
  }
  std::abort();
}

// What the ranks answered; none, and `problem` says why, when the job's store does not answer.
std::vector<RankSign> ProcessGroup::ask_ranks(milliseconds patience, std::string& problem) {
  try {
    return roll_call_->ask(patience);
  } catch (const std::exception& failure) {
    problem = first_line(failure);
    return {};
  }
}

Failure ProcessGroup::explain_timeout(const std::vector<RankSign>& signs, const std::string& problem) const {
  const std::string waited = seconds(options_.timeout);
  if (!problem.empty()) {
    return {FailureCause::kSilentRank, "a collective timed out after " + waited + ", and the job's store at " +
                                           address_.master_addr + " does not answer: " + problem};
  }
  std::vector<std::string> silent;
  std::vector<std::string> busy;
  std::vector<std::string> foreign;  // Python's, who never announce themselves: nobody knows how they are
  for (const RankSign& sign : signs) {
    if (!sign.joined) {
      foreign.push_back(sign.who);
    } else if (!sign.answered) {
      silent.push_back(sign.who);
    } else if (sign.rank != ranks_[static_cast<size_t>(rank())]) {
      busy.push_back(sign.who + " at " + sign.activity);
    }
  }
  if (!silent.empty()) {
    return {FailureCause::kSilentRank,
            list(silent) + " did not answer for " + waited + ": stopped, or its machine cannot be reached"};
  }
  if (!foreign.empty()) {
    return {FailureCause::kOther, "a collective timed out after " + waited +
                                      ", and the ranks that can be asked are alive: " + list(foreign) +
                                      " cannot be asked, not being of ferrun::ddp"};
  }
  return {FailureCause::kOther, "a collective timed out after " + waited + " though every rank is alive: " +
                                    list(busy) + "; a longer --collective-timeout helps if a rank is only slow"};
}

std::string ProcessGroup::explain_no_connection(const std::exception& failure) {
  const std::string line = first_line(failure);
  if (!roll_call_) return "cannot connect the ranks: " + line;
  std::vector<std::string> missing;
  try {
    for (const RankSign& sign : roll_call_->joined()) {
      if (!sign.joined) {
        missing.push_back(sign.who);
      }
    }
  } catch (const std::exception&) {
    // The store is gone as well; the first failure is the one to tell.
  }
  if (!missing.empty()) {
    const std::string what =
        name_ == "0" ? " of " + std::to_string(world_size()) + " did not join" : " did not come to " + called();
    return list(missing) + what + " within " + seconds(options_.timeout);
  }
  // A rank that had all its connections may have ended before the others had theirs.
  std::string problem;
  const std::string gone = no_answer_from(ask_ranks(kPatienceWithTheLost, problem));
  if (meaning_of(line) == FailureWords::kLostPeer) return kLostWords + gone;
  return "cannot connect the ranks" + gone + ": " + line;
}

void ProcessGroup::shut_down() {
  if (alone()) {
    return;
  }
  Collective end;
  end.kind = CollectiveKind::kShutDown;
  note(end);
  group_->barrier()->wait();
  roll_call_.reset();
  group_->shutdown();
  group_.reset();
  group_store_.reset();
  store_.reset();
}

}  // namespace ferrun::ddp
