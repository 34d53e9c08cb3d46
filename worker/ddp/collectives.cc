#include "worker/ddp/collectives.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstring>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <utility>

namespace ferrun::ddp {
namespace {

// Under the names that torch 2.15 has; before, they had others.
template <typename Group>
auto reduce_scatter_single(Group& group, at::Tensor& output, at::Tensor& input,
                           const c10d::ReduceScatterOptions& options) {
  if constexpr (requires { group.reduce_scatter_single(output, input, options); }) {
    return group.reduce_scatter_single(output, input, options);
  } else {
    return group._reduce_scatter_base(output, input, options);
  }
}

template <typename Group>
auto all_to_all_single(Group& group, at::Tensor& output, at::Tensor& input, std::vector<int64_t>& received,
                       std::vector<int64_t>& sent) {
  if constexpr (requires { group.all_to_all_single(output, input, received, sent); }) {
    return group.all_to_all_single(output, input, received, sent);
  } else {
    return group.alltoall_base(output, input, received, sent);
  }
}

using Started = c10::intrusive_ptr<c10d::Work>;

c10d::ReduceOp c10d_operation(ReduceOp operation) {
  switch (operation) {
    case ReduceOp::kProduct: return c10d::ReduceOp::PRODUCT;
    case ReduceOp::kMin: return c10d::ReduceOp::MIN;
    case ReduceOp::kMax: return c10d::ReduceOp::MAX;
    case ReduceOp::kBitAnd: return c10d::ReduceOp::BAND;
    case ReduceOp::kBitOr: return c10d::ReduceOp::BOR;
    case ReduceOp::kBitXor: return c10d::ReduceOp::BXOR;
    case ReduceOp::kSum:
    case ReduceOp::kAverage: break;  // Gloo has no average: the sum is divided
  }
  return c10d::ReduceOp::SUM;
}

Work work_of(Started started, std::function<void()> then = nullptr) {
  return Work(
      [started, then = std::move(then)] {
        started->wait();
        if (then) then();
      },
      [started] { return started->isCompleted(); });
}

std::function<void()> division(ReduceOp operation, const at::Tensor& tensor, int world_size) {
  if (operation != ReduceOp::kAverage) return nullptr;
  TORCH_CHECK(tensor.is_floating_point() || tensor.is_complex(), "ReduceOp::kAverage needs floating-point numbers");
  return [tensor, world_size]() mutable {
    const at::NoGradGuard no_grad;
    tensor.div_(world_size);
  };
}

void copy(at::Tensor& to, const at::Tensor& from) {
  const at::NoGradGuard no_grad;
  to.copy_(from);
}

void check_parts(const ProcessGroup& group, size_t count, const char* call) {
  TORCH_CHECK(count == static_cast<size_t>(group.world_size()), call, " needs one tensor for each of the ",
              group.world_size(), " ranks, and has ", count);
}

// Of tensors that may differ in their first dimension between ranks.
Collective ragged(CollectiveKind kind, const at::Tensor& tensor) {
  return Collective::of(kind, tensor.dim() == 0 ? tensor : tensor.narrow(0, 0, 0));
}

}  // namespace

Work start_all_reduce(ProcessGroup& group, at::Tensor& tensor, ReduceOp operation) {
  std::function<void()> then = division(operation, tensor, group.world_size());
  if (group.alone()) return {};
  group.note(Collective::of(CollectiveKind::kAllReduce, tensor).with(operation));
  c10d::AllreduceOptions options;
  options.reduceOp = c10d_operation(operation);
  std::vector<at::Tensor> tensors{tensor};
  return work_of(group.c10d_group()->allreduce(tensors, options), std::move(then));
}

Work start_reduce(ProcessGroup& group, at::Tensor& tensor, int root, ReduceOp operation) {
  std::function<void()> then = division(operation, tensor, group.world_size());
  if (group.alone()) return {};
  group.note(Collective::of(CollectiveKind::kReduce, tensor, root).with(operation));
  c10d::ReduceOptions options;
  options.reduceOp = c10d_operation(operation);
  options.rootRank = root;
  std::vector<at::Tensor> tensors{tensor};
  return work_of(group.c10d_group()->reduce(tensors, options), std::move(then));
}

Work start_broadcast(ProcessGroup& group, at::Tensor& tensor, int root) {
  if (group.alone()) return {};
  group.note(Collective::of(CollectiveKind::kBroadcast, tensor, root));
  c10d::BroadcastOptions options;
  options.rootRank = root;
  std::vector<at::Tensor> tensors{tensor};
  return work_of(group.c10d_group()->broadcast(tensors, options));
}

Work start_all_gather(ProcessGroup& group, const at::Tensor& tensor, std::vector<at::Tensor>& gathered) {
  std::vector<at::Tensor> own{tensor.detach().contiguous()};
  gathered.clear();
  for (int rank = 0; rank < group.world_size(); ++rank) gathered.push_back(at::empty_like(own[0]));
  if (group.alone()) {
    copy(gathered[0], tensor);
    return {};
  }
  group.note(Collective::of(CollectiveKind::kAllGather, tensor));
  std::vector<std::vector<at::Tensor>> lists{gathered};
  return work_of(group.c10d_group()->allgather(lists, own));
}

Work start_gather(ProcessGroup& group, const at::Tensor& tensor, std::vector<at::Tensor>& gathered, int root) {
  std::vector<at::Tensor> own{tensor.detach().contiguous()};
  gathered.clear();
  const bool here = group.rank() == root;
  for (int rank = 0; here && rank < group.world_size(); ++rank) gathered.push_back(at::empty_like(own[0]));
  if (group.alone()) {
    if (here) copy(gathered[0], tensor);
    return {};
  }
  group.note(Collective::of(CollectiveKind::kGather, tensor, root));
  c10d::GatherOptions options;
  options.rootRank = root;
  std::vector<std::vector<at::Tensor>> lists;
  if (here) lists.push_back(gathered);
  return work_of(group.c10d_group()->gather(lists, own, options));
}

Work start_scatter(ProcessGroup& group, at::Tensor& tensor, const std::vector<at::Tensor>& parts, int root) {
  const bool here = group.rank() == root;
  if (here) check_parts(group, parts.size(), "scatter");
  if (group.alone()) {
    if (here) copy(tensor, parts[0]);
    return {};
  }
  group.note(Collective::of(CollectiveKind::kScatter, tensor, root));
  c10d::ScatterOptions options;
  options.rootRank = root;
  std::vector<std::vector<at::Tensor>> lists;
  if (here) {
    lists.emplace_back();
    for (const at::Tensor& part : parts) lists[0].push_back(part.detach().contiguous());
  }
  std::vector<at::Tensor> outputs{tensor};
  return work_of(group.c10d_group()->scatter(outputs, lists, options));
}

Work start_reduce_scatter(ProcessGroup& group, at::Tensor& tensor, const std::vector<at::Tensor>& parts,
                          ReduceOp operation) {
  check_parts(group, parts.size(), "reduce_scatter");
  std::function<void()> then = division(operation, tensor, group.world_size());
  if (group.alone()) {
    copy(tensor, parts[0]);
    return {};
  }
  group.note(Collective::of(CollectiveKind::kReduceScatter, tensor).with(operation));
  c10d::ReduceScatterOptions options;
  options.reduceOp = c10d_operation(operation);
  std::vector<at::Tensor> flat;
  for (const at::Tensor& part : parts) flat.push_back(part.detach().reshape({-1}));
  at::Tensor input = at::cat(flat);
  const at::Tensor output = tensor.view({-1});
  at::Tensor own = output;
  return work_of(reduce_scatter_single(*group.c10d_group(), own, input, options), std::move(then));
}

Work start_all_to_all(ProcessGroup& group, std::vector<at::Tensor>& received, const std::vector<at::Tensor>& parts) {
  check_parts(group, parts.size(), "all_to_all");
  check_parts(group, received.size(), "all_to_all");
  if (group.alone()) {
    copy(received[0], parts[0]);
    return {};
  }
  group.note(ragged(CollectiveKind::kAllToAll, parts[0]));
  group.note_parts(received, parts);
  std::vector<int64_t> sent_sizes, received_sizes;
  std::vector<at::Tensor> flat;
  for (const at::Tensor& part : parts) {
    sent_sizes.push_back(part.numel());
    flat.push_back(part.detach().reshape({-1}));
  }
  int64_t total = 0;
  for (const at::Tensor& tensor : received) {
    received_sizes.push_back(tensor.numel());
    total += tensor.numel();
  }
  at::Tensor input = at::cat(flat);
  at::Tensor output = at::empty({total}, received[0].options());
  Started started = all_to_all_single(*group.c10d_group(), output, input, received_sizes, sent_sizes);
  return work_of(std::move(started), [output, received]() mutable {
    const at::NoGradGuard no_grad;
    int64_t offset = 0;
    for (at::Tensor& tensor : received) {
      tensor.copy_(output.narrow(0, offset, tensor.numel()).view(tensor.sizes()));
      offset += tensor.numel();
    }
  });
}

Work start_send(ProcessGroup& group, const at::Tensor& tensor, int to, int tag) {
  TORCH_CHECK(to >= 0 && to < group.world_size() && to != group.rank(), "rank ", group.rank(), " cannot send to rank ",
              to, " of ", group.world_size());
  std::vector<at::Tensor> tensors{tensor.detach().contiguous()};
  group.note_message(/*sent=*/true, to, tag, tensor);
  Started started = group.c10d_group()->send(tensors, to, tag);
  return Work([started, tensors] { started->wait(); }, [started] { return started->isCompleted(); });
}

Work start_recv(ProcessGroup& group, at::Tensor& tensor, int from, int tag) {
  TORCH_CHECK(from >= 0 && from < group.world_size() && from != group.rank(), "rank ", group.rank(),
              " cannot receive from rank ", from, " of ", group.world_size());
  std::vector<at::Tensor> tensors{tensor};
  group.note_message(/*sent=*/false, from, tag, tensor);
  return work_of(group.c10d_group()->recv(tensors, from, tag));
}

std::vector<std::string> all_gather_bytes(ProcessGroup& group, const std::string& bytes) {
  const at::Tensor own_size = at::empty({1}, at::kLong);
  *own_size.mutable_data_ptr<int64_t>() = static_cast<int64_t>(bytes.size());
  std::vector<size_t> sizes;
  for (const at::Tensor& size : all_gather(group, own_size)) {
    sizes.push_back(static_cast<size_t>(*size.const_data_ptr<int64_t>()));
  }
  const size_t longest = *std::max_element(sizes.begin(), sizes.end());
  if (longest == 0) return std::vector<std::string>(sizes.size());
  const at::Tensor padded = at::zeros({static_cast<int64_t>(longest)}, at::kByte);
  std::memcpy(padded.mutable_data_ptr(), bytes.data(), bytes.size());
  std::vector<std::string> all;
  for (const at::Tensor& other : all_gather(group, padded)) {
    all.emplace_back(static_cast<const char*>(other.const_data_ptr()), sizes[all.size()]);
  }
  return all;
}

}  // namespace ferrun::ddp
