// torch.distributed's collectives and messages between two ranks, for any ProcessGroup:
//
//   at::Tensor slowest = at::full({1}, seconds);
//   all_reduce(*group, slowest, ReduceOp::kMax);
//   Work work = start_all_gather(*group, tensor, everyones);   // goes on meanwhile
//   work.wait();
//
// Each is called by all ranks of the group, with the same shapes, types, operations and roots; send and recv by the two
// that they concern. In a world of one each is what it is with one rank: a copy or nothing. Tensors that results are
// written to must be contiguous. Failures throw what c10d throws, within the group's timeout; ProcessGroup::explain
// makes one line of them that names the rank at fault. `root`, `to` and `from` are ranks of the group. The thread rule
// is ProcessGroup's.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "worker/ddp/collective_history.h"
#include "worker/ddp/process_group.h"
#include "worker/ddp/work.h"

namespace ferrun::ddp {

// In place; kAverage needs floating-point numbers, kBitAnd, kBitOr and kBitXor integers.
[[nodiscard]] Work start_all_reduce(ProcessGroup& group, at::Tensor& tensor, ReduceOp operation = ReduceOp::kSum);
// In place on `root`; on the others the tensor's content is unspecified afterwards.
[[nodiscard]] Work start_reduce(ProcessGroup& group, at::Tensor& tensor, int root = 0,
                                ReduceOp operation = ReduceOp::kSum);
[[nodiscard]] Work start_broadcast(ProcessGroup& group, at::Tensor& tensor, int root = 0);
// `gathered` becomes the tensors of all ranks, by rank.
[[nodiscard]] Work start_all_gather(ProcessGroup& group, const at::Tensor& tensor, std::vector<at::Tensor>& gathered);
// The same on `root` alone; on the others `gathered` becomes empty.
[[nodiscard]] Work start_gather(ProcessGroup& group, const at::Tensor& tensor, std::vector<at::Tensor>& gathered,
                                int root = 0);
// Each rank's `tensor` becomes its part of root's `parts`, one a rank; the others' `parts` are not looked at.
[[nodiscard]] Work start_scatter(ProcessGroup& group, at::Tensor& tensor, const std::vector<at::Tensor>& parts,
                                 int root = 0);
// `tensor` becomes the reduction of this rank's part: of all ranks' `parts[rank]`. One part a rank, of one shape.
[[nodiscard]] Work start_reduce_scatter(ProcessGroup& group, at::Tensor& tensor, const std::vector<at::Tensor>& parts,
                                        ReduceOp operation = ReduceOp::kSum);
// Rank r's parts[s] becomes rank s's received[r]. `received` has tensors of the right shapes, `parts` may differ in
// their first dimension; all have the same type and the same further dimensions.
[[nodiscard]] Work start_all_to_all(ProcessGroup& group, std::vector<at::Tensor>& received,
                                    const std::vector<at::Tensor>& parts);
// To one rank, from one rank: what they send must be what the other waits for. Messages of one `tag` arrive in order.
[[nodiscard]] Work start_send(ProcessGroup& group, const at::Tensor& tensor, int to, int tag = 0);
[[nodiscard]] Work start_recv(ProcessGroup& group, at::Tensor& tensor, int from, int tag = 0);

// The same, waited for.
inline void all_reduce(ProcessGroup& group, at::Tensor& tensor, ReduceOp operation = ReduceOp::kSum) {
  start_all_reduce(group, tensor, operation).wait();
}
inline void reduce(ProcessGroup& group, at::Tensor& tensor, int root = 0, ReduceOp operation = ReduceOp::kSum) {
  start_reduce(group, tensor, root, operation).wait();
}
inline void broadcast(ProcessGroup& group, at::Tensor& tensor, int root = 0) {
  start_broadcast(group, tensor, root).wait();
}
inline std::vector<at::Tensor> all_gather(ProcessGroup& group, const at::Tensor& tensor) {
  std::vector<at::Tensor> gathered;
  start_all_gather(group, tensor, gathered).wait();
  return gathered;
}
inline std::vector<at::Tensor> gather(ProcessGroup& group, const at::Tensor& tensor, int root = 0) {
  std::vector<at::Tensor> gathered;
  start_gather(group, tensor, gathered, root).wait();
  return gathered;
}
inline void scatter(ProcessGroup& group, at::Tensor& tensor, const std::vector<at::Tensor>& parts, int root = 0) {
  start_scatter(group, tensor, parts, root).wait();
}
inline void reduce_scatter(ProcessGroup& group, at::Tensor& tensor, const std::vector<at::Tensor>& parts,
                           ReduceOp operation = ReduceOp::kSum) {
  start_reduce_scatter(group, tensor, parts, operation).wait();
}
inline void all_to_all(ProcessGroup& group, std::vector<at::Tensor>& received, const std::vector<at::Tensor>& parts) {
  start_all_to_all(group, received, parts).wait();
}
inline void send(ProcessGroup& group, const at::Tensor& tensor, int to, int tag = 0) {
  start_send(group, tensor, to, tag).wait();
}
inline void recv(ProcessGroup& group, at::Tensor& tensor, int from, int tag = 0) {
  start_recv(group, tensor, from, tag).wait();
}

// The bytes of all ranks, by rank; they may differ in length.
std::vector<std::string> all_gather_bytes(ProcessGroup& group, const std::string& bytes);

// torch.distributed's object collectives, as JSON instead of pickle: nothing that a peer sends is executed. `Json`:
// nlohmann::json, or any type with dump() and a static parse(). Text that is no JSON throws what parse() throws.
template <typename Json>
Json broadcast_object(ProcessGroup& group, const Json& object, int root = 0) {
  return Json::parse(group.broadcast_bytes(group.rank() == root ? object.dump() : std::string(), root));
}
template <typename Json>
std::vector<Json> all_gather_object(ProcessGroup& group, const Json& object) {
  std::vector<Json> objects;
  for (const std::string& text : all_gather_bytes(group, object.dump())) objects.push_back(Json::parse(text));
  return objects;
}

}  // namespace ferrun::ddp
