#include "worker/ddp/collectives.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cstring>
#include <numeric>
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

// So many of the first tensor as of all ranks' second ones.
void check_whole(const ProcessGroup& group, const at::Tensor& whole, const at::Tensor& part, const char* call) {
  TORCH_CHECK(whole.scalar_type() == part.scalar_type() && whole.numel() == part.numel() * group.world_size(), call,
              " needs one tensor of ", part.numel() * group.world_size(), " x ", part.scalar_type(), " for the ",
              part.numel(), " of each of ", group.world_size(), " ranks, and has ", whole.numel(), " x ",
              whole.scalar_type());
}

// The rows of each rank; equal parts where none are given.
std::vector<int64_t> checked_rows(const ProcessGroup& group, const at::Tensor& tensor, const std::vector<int64_t>& rows,
                                  const char* what) {
  const int64_t world = group.world_size(), all = tensor.size(0);
  if (rows.empty()) {
    TORCH_CHECK(all % world == 0, "all_to_all_single: the ", all, " rows ", what, " are no ", world, " equal parts");
    return std::vector<int64_t>(static_cast<size_t>(world), all / world);
  }
  TORCH_CHECK(rows.size() == static_cast<size_t>(world), "all_to_all_single's list of rows needs one for each of the ",
              world, " ranks, and has ", rows.size());
  TORCH_CHECK(std::ranges::all_of(rows, [](int64_t some) { return some >= 0; }) &&
                  std::accumulate(rows.begin(), rows.end(), int64_t{0}) == all,
              "all_to_all_single: [", c10::Join(", ", rows), "] are not the ", all, " rows ", what);
  return rows;
}

std::vector<at::Tensor> split_rows(const at::Tensor& tensor, const std::vector<int64_t>& rows) {
  std::vector<at::Tensor> parts;
  int64_t begin = 0;
  for (const int64_t some : rows) {
    parts.push_back(tensor.narrow(0, begin, some));
    begin += some;
  }
  return parts;
}

at::Tensor tensor_of_bytes(const std::string& bytes, size_t length) {
  const at::Tensor tensor = at::zeros({static_cast<int64_t>(length)}, at::kByte);
  if (!bytes.empty()) std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

std::string bytes_of(const at::Tensor& tensor, size_t length) {
  return std::string(static_cast<const char*>(tensor.const_data_ptr()), length);
}

at::Tensor length_tensor(size_t length) { return at::full({1}, static_cast<int64_t>(length), at::kLong); }
size_t length_in(const at::Tensor& tensor) { return static_cast<size_t>(*tensor.const_data_ptr<int64_t>()); }

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

Work start_all_gather_into_tensor(ProcessGroup& group, at::Tensor& gathered, const at::Tensor& tensor) {
  check_whole(group, gathered, tensor, "all_gather_into_tensor");
  std::vector<at::Tensor> own{tensor.detach().contiguous().view({-1})};
  if (group.alone()) {
    at::Tensor whole = gathered.view({-1});
    copy(whole, own[0]);
    return {};
  }
  group.note(Collective::of(CollectiveKind::kAllGather, tensor));
  std::vector<std::vector<at::Tensor>> parts{gathered.detach().view({group.world_size(), -1}).unbind()};
  return work_of(group.c10d_group()->allgather(parts, own));
}

Work start_reduce_scatter_tensor(ProcessGroup& group, at::Tensor& tensor, const at::Tensor& parts, ReduceOp operation) {
  check_whole(group, parts, tensor, "reduce_scatter_tensor");
  std::function<void()> then = division(operation, tensor, group.world_size());
  at::Tensor input = parts.detach().contiguous().view({-1}), output = tensor.detach().view({-1});
  if (group.alone()) {
    copy(output, input);
    return {};
  }
  group.note(Collective::of(CollectiveKind::kReduceScatter, tensor).with(operation));
  c10d::ReduceScatterOptions options;
  options.reduceOp = c10d_operation(operation);
  return work_of(reduce_scatter_single(*group.c10d_group(), output, input, options), std::move(then));
}

Work start_all_to_all_single(ProcessGroup& group, at::Tensor& received, const at::Tensor& tensor,
                             const std::vector<int64_t>& received_rows, const std::vector<int64_t>& sent_rows) {
  TORCH_CHECK(received.dim() > 0 && tensor.dim() > 0, "all_to_all_single needs tensors with rows");
  std::vector<int64_t> sent = checked_rows(group, tensor, sent_rows, "that are sent"),
                       taken = checked_rows(group, received, received_rows, "that are received");
  if (group.alone()) {
    copy(received, tensor);
    return {};
  }
  group.note(ragged(CollectiveKind::kAllToAll, tensor));
  group.note_parts(split_rows(received, taken), split_rows(tensor, sent));
  at::Tensor input = tensor.detach().contiguous(), output = received.detach();
  Started started = all_to_all_single(*group.c10d_group(), output, input, taken, sent);
  return work_of(std::move(started), [input] {});
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

Work start_recv_any(ProcessGroup& group, at::Tensor& tensor, int& from, int tag) {
  TORCH_CHECK(!group.alone(), "rank 0 cannot receive from any other rank of 1");
  std::vector<at::Tensor> tensors{tensor};
  Started started = group.c10d_group()->recvAnysource(tensors, tag);
  return work_of(started, [started, tensor, tag, &group, &from] {
    from = started->sourceRank();
    group.note_message(/*sent=*/false, from, tag, tensor);
  });
}

std::vector<std::string> all_gather_bytes(ProcessGroup& group, const std::string& bytes) {
  std::vector<size_t> lengths;
  for (const at::Tensor& length : all_gather(group, length_tensor(bytes.size()))) lengths.push_back(length_in(length));
  const size_t longest = *std::ranges::max_element(lengths);
  if (longest == 0) return std::vector<std::string>(lengths.size());
  std::vector<std::string> all;
  for (const at::Tensor& other : all_gather(group, tensor_of_bytes(bytes, longest))) {
    all.push_back(bytes_of(other, lengths[all.size()]));
  }
  return all;
}

std::vector<std::string> gather_bytes(ProcessGroup& group, const std::string& bytes, int root) {
  std::vector<size_t> lengths;
  for (const at::Tensor& length : all_gather(group, length_tensor(bytes.size()))) lengths.push_back(length_in(length));
  const size_t longest = *std::ranges::max_element(lengths);
  if (longest == 0) return std::vector<std::string>(group.rank() == root ? lengths.size() : 0);
  std::vector<std::string> all;
  for (const at::Tensor& other : gather(group, tensor_of_bytes(bytes, longest), root)) {
    all.push_back(bytes_of(other, lengths[all.size()]));
  }
  return all;
}

std::string scatter_bytes(ProcessGroup& group, const std::vector<std::string>& parts, int root) {
  const bool here = group.rank() == root;
  // The others have to know before how long their part is, and all how long the longest is.
  at::Tensor lengths = at::zeros({group.world_size()}, at::kLong);
  if (here) {
    check_parts(group, parts.size(), "scatter_bytes");
    for (size_t i = 0; i < parts.size(); ++i) {
      lengths.mutable_data_ptr<int64_t>()[i] = static_cast<int64_t>(parts[i].size());
    }
  }
  broadcast(group, lengths, root);
  const auto longest = static_cast<size_t>(lengths.max().item<int64_t>());
  if (longest == 0) return "";
  std::vector<at::Tensor> padded;
  for (size_t i = 0; here && i < parts.size(); ++i) padded.push_back(tensor_of_bytes(parts[i], longest));
  at::Tensor own = tensor_of_bytes("", longest);
  scatter(group, own, padded, root);
  return bytes_of(own, static_cast<size_t>(lengths.const_data_ptr<int64_t>()[group.rank()]));
}

void send_bytes(ProcessGroup& group, const std::string& bytes, int to, int tag) {
  send(group, length_tensor(bytes.size()), to, tag);
  if (!bytes.empty()) send(group, tensor_of_bytes(bytes, bytes.size()), to, tag);
}

std::string recv_bytes(ProcessGroup& group, int from, int tag) {
  at::Tensor length = length_tensor(0);
  recv(group, length, from, tag);
  if (length_in(length) == 0) return "";
  at::Tensor bytes = tensor_of_bytes("", length_in(length));
  recv(group, bytes, from, tag);
  return bytes_of(bytes, length_in(length));
}

}  // namespace ferrun::ddp
