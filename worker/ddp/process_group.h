// The ranks of one job and their collectives, made from the environment alone. A world of one opens no socket and every
// collective is the identity.
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
#include "worker/ddp/group_address.h"

namespace c10d {
class ProcessGroup;
class Store;
}  // namespace c10d

namespace ferrun::ddp {

class RollCall;

struct GroupOptions {
  // A rank that does not take part in a collective for so long ends the run.
  std::chrono::milliseconds timeout{std::chrono::minutes(5)};
  // An interface name for Gloo (GLOO_SOCKET_IFNAME); empty: the loopback when the store is there, else Gloo's choice.
  std::string interface;
};

// Waits for a collective in flight; rethrows its failure.
using Wait = std::function<void()>;

enum class FailureCause {
  kSilentRank,  // a rank did not answer within the timeout; the message names it
  kLostPeer,    // a peer ended first: its own error is the cause, this rank a casualty
  kOther,
};

struct Failure {
  FailureCause cause = FailureCause::kOther;
  std::string message;  // one line for a person
};

class ProcessGroup {
 public:
  // Connects all ranks over Gloo. Failure: one line that says what could not be reached, or which ranks did not join in
  // time.
  static Result<std::shared_ptr<ProcessGroup>> create(const GroupAddress& address, const GroupOptions& options);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int rank() const { return address_.rank; }
  int world_size() const { return address_.world_size; }
  bool alone() const { return address_.alone(); }

  // Gives the group another backend beside Gloo (NCCL, by the CUDA plug-in), for tensors on another device. All ranks
  // or none. Not in a world of one. May throw what `attach` throws.
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

  // What the calling rank is doing, for a peer that asks why it waits ("epoch 3, step 17").
  void set_activity(std::string activity);
  // Explains a failed collective. After a timeout it asks every rank for a sign of life, which takes up to five
  // seconds.
  Failure explain(const std::exception& failure);

  // For c10d's own classes (Reducer). Null in a world of one.
  const c10::intrusive_ptr<c10d::ProcessGroup>& c10d_group() const { return group_; }

  // Ends the group in order: every rank must call it. Not after a failure.
  void shut_down();

 private:
  ProcessGroup(GroupAddress address, GroupOptions options);
  void connect();
  Failure explain_timeout();
  std::string explain_no_connection(const std::exception& failure);

  GroupAddress address_;
  GroupOptions options_;
  c10::intrusive_ptr<c10d::Store> store_;  // without prefix
  c10::intrusive_ptr<c10d::Store> group_store_;
  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  std::unique_ptr<RollCall> roll_call_;
};

}  // namespace ferrun::ddp
