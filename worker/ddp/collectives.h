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
// The tensors of all ranks in one: `gathered` has as many elements as all of them, one rank's after the other's, be it
// joined in the first dimension or stacked in a new one.
[[nodiscard]] Work start_all_gather_into_tensor(ProcessGroup& group, at::Tensor& gathered, const at::Tensor& tensor);
// `tensor` becomes the reduction of this rank's part of all ranks' `parts`, which have one after the other in one
// tensor.
[[nodiscard]] Work start_reduce_scatter_tensor(ProcessGroup& group, at::Tensor& tensor, const at::Tensor& parts,
                                               ReduceOp operation = ReduceOp::kSum);
// all_to_all of rows: the first sent_rows[0] rows of `tensor` go to rank 0, the next sent_rows[1] to rank 1, …, and
// `received` gets received_rows[r] rows of rank r, in the ranks' order. Without numbers, equal parts.
[[nodiscard]] Work start_all_to_all_single(ProcessGroup& group, at::Tensor& received, const at::Tensor& tensor,
                                           const std::vector<int64_t>& received_rows = {},
                                           const std::vector<int64_t>& sent_rows = {});
// To one rank, from one rank: what they send must be what the other waits for. Messages of one `tag` arrive in order.
[[nodiscard]] Work start_send(ProcessGroup& group, const at::Tensor& tensor, int to, int tag = 0);
[[nodiscard]] Work start_recv(ProcessGroup& group, at::Tensor& tensor, int from, int tag = 0);
// From whoever sends first, whose rank `from` has after wait() and must live as long. Gloo's tensors alone.
[[nodiscard]] Work start_recv_any(ProcessGroup& group, at::Tensor& tensor, int& from, int tag = 0);

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
inline void all_gather_into_tensor(ProcessGroup& group, at::Tensor& gathered, const at::Tensor& tensor) {
  start_all_gather_into_tensor(group, gathered, tensor).wait();
}
inline void reduce_scatter_tensor(ProcessGroup& group, at::Tensor& tensor, const at::Tensor& parts,
                                  ReduceOp operation = ReduceOp::kSum) {
  start_reduce_scatter_tensor(group, tensor, parts, operation).wait();
}
inline void all_to_all_single(ProcessGroup& group, at::Tensor& received, const at::Tensor& tensor,
                              const std::vector<int64_t>& received_rows = {},
                              const std::vector<int64_t>& sent_rows = {}) {
  start_all_to_all_single(group, received, tensor, received_rows, sent_rows).wait();
}
inline void send(ProcessGroup& group, const at::Tensor& tensor, int to, int tag = 0) {
  start_send(group, tensor, to, tag).wait();
}
inline void recv(ProcessGroup& group, at::Tensor& tensor, int from, int tag = 0) {
  start_recv(group, tensor, from, tag).wait();
}

// Returns the rank that sent.
inline int recv_any(ProcessGroup& group, at::Tensor& tensor, int tag = 0) {
  int from = -1;
  start_recv_any(group, tensor, from, tag).wait();
  return from;
}

// The bytes of all ranks, by rank; they may differ in length.
std::vector<std::string> all_gather_bytes(ProcessGroup& group, const std::string& bytes);
// The same on `root` alone; nothing on the others.
std::vector<std::string> gather_bytes(ProcessGroup& group, const std::string& bytes, int root = 0);
// Root's part for this rank; the others' `parts` are not looked at.
std::string scatter_bytes(ProcessGroup& group, const std::vector<std::string>& parts, int root = 0);
// Two messages of this tag: the length, and what is not empty.
void send_bytes(ProcessGroup& group, const std::string& bytes, int to, int tag = 0);
std::string recv_bytes(ProcessGroup& group, int from, int tag = 0);

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
template <typename Json>
std::vector<Json> gather_object(ProcessGroup& group, const Json& object, int root = 0) {
  std::vector<Json> objects;
  for (const std::string& text : gather_bytes(group, object.dump(), root)) objects.push_back(Json::parse(text));
  return objects;
}
template <typename Json>
Json scatter_object(ProcessGroup& group, const std::vector<Json>& objects, int root = 0) {
  std::vector<std::string> parts;
  for (const Json& object : objects) parts.push_back(object.dump());
  return Json::parse(scatter_bytes(group, parts, root));
}
template <typename Json>
void send_object(ProcessGroup& group, const Json& object, int to, int tag = 0) {
  send_bytes(group, object.dump(), to, tag);
}
template <typename Json>
Json recv_object(ProcessGroup& group, int from, int tag = 0) {
  return Json::parse(recv_bytes(group, from, tag));
}

}  // namespace ferrun::ddp
