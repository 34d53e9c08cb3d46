// The ranks of one job and their collectives, made from the environment alone. A world of one opens no socket and every
// collective is the identity, unless its address asks it to connect (GroupAddress::connects_alone).
//
// C++ and Python ranks can share a group: the store keys are those of torch.distributed.init_process_group().
//
// Collectives throw what c10d throws; `explain` turns such an exception into one line that names the rank at fault.
// After a failure the group is unusable: report, then leave with _exit (Gloo's destructors may wait for a lost peer).
//
// Thread rule: one thread calls the collectives, in the same order on every rank.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/ddp/collective_history.h"
#include "worker/ddp/group_address.h"

namespace c10d {
class ProcessGroup;
class Store;
}  // namespace c10d

namespace ferrun::ddp {

class RollCall;
struct RankSign;

enum class FailureCause {
  kSilentRank,  // a rank did not answer within the timeout; the message names it
  kLostPeer,    // a peer ended first: its own error is the cause, this rank a casualty
  kOther,
};

struct Failure {
  FailureCause cause = FailureCause::kOther;
  std::string message;  // one line for a person
};

struct GroupOptions {
  // A rank that does not take part in a collective for so long ends the run.
  std::chrono::milliseconds timeout{std::chrono::minutes(5)};
  // An interface name for Gloo (GLOO_SOCKET_IFNAME); empty: the loopback when the store is there, else Gloo's choice.
  std::string interface = {};
  // Gloo ends the whole process from a thread of its own (std::terminate) when a peer sends more than is waited for, as
  // it does when ranks call different collectives. This is called there with the explanation first, for one group of
  // the process; it should not return.
  std::function<void(const Failure& failure)> on_abort = {};
};

// Waits for a collective in flight; rethrows its failure.
using Wait = std::function<void()>;

class ProcessGroup {
 public:
  // Connects all ranks over Gloo. SIGPIPE is ignored from now on unless the program handles it, as Python does.
  // Failure: one line that says what could not be reached, or which ranks did not join in time.
  static Result<std::shared_ptr<ProcessGroup>> create(const GroupAddress& address, const GroupOptions& options);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  // Of the ranks of this group, which is the job's but for a sub-group.
  int rank() const { return address_.rank; }
  int world_size() const { return address_.world_size; }
  // Whether there is no backend: what the others would have to be told of needs no collective.
  bool alone() const { return address_.alone(); }

  // The ranks' numbers in the job, by rank.
  const std::vector<int>& ranks_in_job() const { return ranks_; }

  // A sub-group of these ranks of the job's group, in ascending order as in Python. Every rank of
  // the job calls it, in the same order for all groups; those that are not in it get a null pointer. `timeout`: the
  // group's own; 0 for this group's. Python's new_group(ranks, backend="gloo") meets it. Failure: a rank that is none
  // or twice there, a group that does not come up. Shut down before this group is.
  Result<std::shared_ptr<ProcessGroup>> new_group(std::vector<int> ranks,
                                                  std::chrono::milliseconds timeout = std::chrono::milliseconds(0));

  // Gives the group another backend beside Gloo (NCCL, by the CUDA plug-in), for tensors on another device. All ranks
  // or none. Not where the group is alone. May throw what `attach` throws.
  using Attach = std::function<void(c10d::ProcessGroup& group, const c10::intrusive_ptr<c10d::Store>& store)>;
  void attach_backend(const Attach& attach);

  // In place, over the ranks.
  void all_reduce_sum(at::Tensor& tensor);
  // Starts the same; `tensor` must be left alone until the returned wait has been called.
  Wait start_all_reduce_sum(at::Tensor& tensor);
  // From `root` to all, in place; shapes and types must agree.
  void broadcast(at::Tensor& tensor, int root = 0);
  // Every rank gets root's bytes.
  std::string broadcast_bytes(std::string bytes, int root = 0);
  // The tensors of all ranks, by rank; shapes and types must agree.
  std::vector<at::Tensor> all_gather(const at::Tensor& tensor);
  void barrier();

  // Notes a collective that was started at c10d_group() itself, in the order of the calls.
  void note(const Collective& collective) { history_.note(collective); }
  // The same of messages, in the order of each pair of ranks; of an all-to-all beside `note`.
  void note_message(bool sent, int peer, int tag, const at::Tensor& tensor) {
    history_.exchanges().note_message(sent, peer, tag, tensor);
  }
  void note_parts(const std::vector<at::Tensor>& received, const std::vector<at::Tensor>& parts) {
    history_.exchanges().note_all_to_all(history_.digest().first, received, parts);
  }
  // A collective: whether all ranks have called the same ones so far, and have sent what their peers waited for. Ranks
  // that called different ones usually fail or time out; where both happen to send as many bytes, nobody notices, and
  // the numbers are wrong. Failure: one line that says who called what, the same on every rank, after which the group
  // is unusable.
  Status check_same_collectives();

  // What the calling rank is doing, for a peer that asks why it waits ("epoch 3, step 17").
  void set_activity(std::string activity);
  // Explains a failed collective, mispaired ones on every rank: it asks every rank for a sign of life and for the
  // collectives that it has called, which takes up to five seconds after a timeout, half a second after a lost
  // connection.
  Failure explain(const std::exception& failure);

  // For c10d's own classes (Reducer). Null where the group is alone.
  const c10::intrusive_ptr<c10d::ProcessGroup>& c10d_group() const { return group_; }

  // Ends the group in order: every rank must call it. Not after a failure.
  void shut_down();

 private:
  ProcessGroup(GroupAddress address, GroupOptions options);
  void connect(const c10::intrusive_ptr<c10d::Store>& store);
  std::string called() const;
  [[noreturn]] static void explain_before_abort();
  Failure explain_failed_collective(const std::string& line);
  std::string difference_between(const std::vector<RankSign>& signs) const;
  Failure explain_timeout(const std::vector<RankSign>& signs, const std::string& problem) const;
  std::vector<RankSign> ask_ranks(std::chrono::milliseconds patience, std::string& problem);
  std::string explain_no_connection(const std::exception& failure);

  GroupAddress address_;
  GroupOptions options_;
  std::string name_ = "0";  // Python's, which counts the groups of a job
  int groups_made_ = 1;
  std::vector<int> ranks_;
  CollectiveHistory history_;
  c10::intrusive_ptr<c10d::Store> store_;  // without prefix
  c10::intrusive_ptr<c10d::Store> group_store_;
  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  std::unique_ptr<RollCall> roll_call_;
};

}  // namespace ferrun::ddp
