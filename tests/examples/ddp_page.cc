// Every C++ block of docs/ddp.md and docs/ddp-migration.md within what it needs around it: compiled, and run by
// three ranks. page_test.py compares the pages with the text between "// page FILE: HEADING" and "// end".
//
//   ferrun --nproc-per-node=3 ddp_page    # writes into its folder
#include <ferrun/client.h>
#include <ferrun/ddp.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>

#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <vector>

namespace ddp = ferrun::ddp;

// A failed one ends the program by an exception, as everything else here does.
void expect(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(std::string("does not hold: ") + what);
}
#define EXPECT(condition) expect(condition, #condition)

struct NetImpl : torch::nn::Module {
  NetImpl()
      : hidden(register_module("hidden", torch::nn::Linear(8, 16))),
        last(register_module("last", torch::nn::Linear(16, 1))) {}
  at::Tensor forward(const at::Tensor& x) { return last(torch::relu(hidden(x))); }
  torch::nn::Linear hidden, last;
};
TORCH_MODULE(Net);

using Group = std::shared_ptr<ddp::ProcessGroup>;

struct Batch {
  at::Tensor x = torch::randn({4, 8}), y = x.sum(1, true);
};

at::Tensor loss_of(const at::Tensor& output, const at::Tensor& wanted) { return (output - wanted).square().mean(); }

// page docs/ddp.md: Inputs, outputs, unused parameters
struct Output {
  at::Tensor logits, features;
  template <typename Visit>
  void visit_tensors(Visit&& visit) {
    ferrun::ddp::visit_tensors(logits, visit);
    ferrun::ddp::visit_tensors(features, visit);
  }
};
// end

struct TwoOutputsImpl : torch::nn::Module {
  TwoOutputsImpl()
      : linear(register_module("linear", torch::nn::Linear(8, 4))),
        unused(register_module("unused", torch::nn::Linear(8, 4))) {}
  Output forward(const at::Tensor& x) { return {linear(x), x}; }
  torch::nn::Linear linear, unused;
};
TORCH_MODULE(TwoOutputs);

// Whether all ranks have the same weights, and none that is not a number.
bool equal_on_all(ddp::ProcessGroup& group, torch::nn::Module& module) {
  std::vector<at::Tensor> flat;
  for (const at::Tensor& parameter : module.parameters()) flat.push_back(parameter.detach().flatten());
  const at::Tensor weights = torch::cat(flat);
  bool equal = weights.isfinite().all().item<bool>();
  for (const at::Tensor& other : ddp::all_gather(group, weights)) equal = equal && other.equal(weights);
  return equal;
}

// Compiled only: ddp::run has the job's group.
void without_run(const at::Tensor& x, const at::Tensor& y) {
  // page docs/ddp.md: A program
  auto group = ddp::init_process_group();
  {
    ddp::DistributedDataParallel<Net> net(Net(), group);
    ddp::Adam optimizer(net.module()->parameters(), {.lr = 0.01});
    net.zero_grad();
    loss_of(net.forward(x), y).backward();
    optimizer.step();
  }
  group->shut_down();
  // end
  // page docs/ddp-migration.md: From a group of one's own
  group = ddp::init_process_group();
  // end
}

void accumulating(const Group& group) {
  ddp::DistributedDataParallel<Net> net(Net(), group);
  const std::vector<Batch> batches(3);
  // page docs/ddp.md: Accumulating gradients
  for (size_t micro = 0; micro < batches.size(); ++micro) {
    const auto scope = net.no_sync(micro + 1 < batches.size());  // of forward and backward
    loss_of(net.forward(batches[micro].x), batches[micro].y).backward();
  }
  // end
  const at::Tensor gradient = net.module()->last->weight.grad();
  for (const at::Tensor& other : ddp::all_gather(*group, gradient)) EXPECT(other.equal(gradient));
}

void outputs(const Group& group) {
  // page docs/ddp.md: Inputs, outputs, unused parameters
  ddp::DdpOptions options;
  options.find_unused_parameters = true;
  options.bucket_bytes = 25 << 20;
  options.broadcast_buffers = false;
  // end
  ddp::DistributedDataParallel<TwoOutputs> net(TwoOutputs(), group, options);
  net.forward(Batch().x).logits.sum().backward();
  EXPECT(net.module()->linear->weight.grad().defined());
  options.find_unused_parameters = false;
  // page docs/ddp.md: Inputs, outputs, unused parameters
  options.static_graph = true;
  // end
  ddp::DistributedDataParallel<TwoOutputs> fixed(TwoOutputs(), group, options);
  for (int step = 0; step < 2; ++step) {
    fixed.zero_grad();
    fixed.forward(Batch().x).logits.sum().backward();
  }
}

void hooks(const Group& group) {
  {
    ddp::DistributedDataParallel<Net> net(Net(), group);
    // page docs/ddp.md: How gradients travel
    net.register_comm_hook(ddp::bf16_compress_hook(group));
    // end
    const Batch batch;
    loss_of(net.forward(batch.x), batch.y).backward();
  }
  ddp::DistributedDataParallel<Net> net(Net(), group);
  // page docs/ddp.md: How gradients travel
  ddp::PowerSgd power_sgd(group, {.matrix_approximation_rank = 2, .start_power_sgd_iter = 100});
  net.register_comm_hook(power_sgd.hook());
  // end
  const Batch batch;
  loss_of(net.forward(batch.x), batch.y).backward();
}

void short_parameters(const Group& group) {
  ddp::DdpOptions options;
  // page docs/ddp.md: Parameters in a short type
  options.mixed_precision = ddp::MixedPrecision{.param_dtype = at::kBFloat16, .reduce_dtype = at::kFloat};
  // end
  ddp::DistributedDataParallel<Net> net(Net(), group, options);
  const Batch batch;
  loss_of(net.forward(batch.x), batch.y).backward();
  EXPECT(net.module()->last->weight.grad().scalar_type() == at::kFloat);
}

void uneven(const Group& group) {
  ddp::DistributedDataParallel<Net> net(Net(), group);
  ddp::Sgd optimizer(net.module()->parameters(), {.lr = 0.1});
  const std::vector<Batch> batches(group->rank() == 0 ? 3 : 1);
  // page docs/ddp.md: Ranks with unequal numbers of inputs
  ddp::Join join = net.join();
  for (const Batch& batch : batches) {
    net.zero_grad();
    loss_of(net.forward(batch.x), batch.y).backward();
    optimizer.step();
  }
  join.finish();
  // end
  EXPECT(equal_on_all(*group, *net.module()));
}

void batch_norm(const Group& group) {
  const torch::nn::Sequential sequential(torch::nn::Linear(8, 4), torch::nn::BatchNorm1d(4));
  // page docs/ddp.md: BatchNorm over all ranks
  auto net = ddp::convert_sync_batchnorm(sequential, group);
  // end
  net->forward(Batch().x).sum().backward();
}

void collectives(const Group& group) {
  at::Tensor t = torch::full({2}, group->rank());
  const nlohmann::json json = {{"rank", group->rank()}};
  // page docs/ddp.md: Collectives
  ddp::all_reduce(*group, t, ddp::ReduceOp::kMax);
  // end
  const std::vector<int64_t> out_rows(3, 2), in_rows(3, 2);
  const at::Tensor largest = t;
  t = torch::full({6}, group->rank());
  at::Tensor out = torch::empty({6}, torch::kLong);
  // page docs/ddp.md: Collectives
  ddp::all_to_all_single(*group, out, t, out_rows, in_rows);
  // end
  EXPECT(out.equal(torch::tensor({0, 0, 1, 1, 2, 2})));
  if (group->rank() > 0) ddp::send(*group, t, 0);
  for (int sender = 1; group->rank() == 0 && sender < group->world_size(); ++sender) {
    // page docs/ddp.md: Collectives
    int source = ddp::recv_any(*group, t);
    // end
    EXPECT(t[0].item<int64_t>() == source);
  }
  t = largest;
  // page docs/ddp.md: Collectives
  {
    ddp::Work work = ddp::start_all_reduce(*group, t);
    work.wait();
  }
  group->barrier();
  EXPECT(ddp::broadcast_object(*group, json)["rank"] == 0);
  EXPECT(std::ssize(ddp::all_gather_object(*group, json)) == group->world_size());
  ddp::value_or_throw(group->check_same_collectives());
  auto sub = group->new_group({0, 2}).value();
  // end
  EXPECT((sub == nullptr) == (group->rank() == 1));
  if (sub) sub->shut_down();
  EXPECT(t[0].item<int64_t>() == int64_t{group->world_size() - 1} * group->world_size());
}

// page docs/ddp.md: Data
struct Spectra {
  int64_t size() const { return std::ssize(files); }
  std::map<std::string, at::Tensor> get(int64_t index) const {
    return {{"spectrum", torch::ones({3})}, {"label", torch::full({}, index)}};
  }
  // or get(int64_t index, ddp::SampleRandom& random): numbers of the sample's own, for augmentation
  // end
  std::vector<std::string> files{"a", "b", "c"};
  // page docs/ddp.md: Data
};
// end

void data(const Group& group) {
  const at::Tensor inputs = torch::randn({100, 8}), targets = inputs.sum(1, true);
  int64_t batches = 0;
  {
    // page docs/ddp.md: Data
    const auto parts = ddp::random_split(ddp::TensorDataset(inputs, targets), {0.9, 0.1}, 42);
    auto sampler = std::make_shared<ddp::DistributedSampler>(parts[0].size(), ddp::shard_of(*group),
                                                             ddp::DistributedSamplerOptions{.seed = 42});
    ddp::DataLoader loader(parts[0], sampler, {.batch_size = 32, .num_workers = 4, .pin_memory = true});
    while (loader.epoch() < 10) {
      for (auto& [x, y] : loader) {
        EXPECT(x.size(0) == y.size(0));
        ++batches;
      }
    }
    // end
    EXPECT(batches == 10 * loader.size());
  }
  const Spectra data;
  // page docs/ddp.md: Data
  ddp::DataLoader loader(data, {.shuffle = true, .seed = 7});
  // end
  for (auto& batch : loader) EXPECT(batch.at("spectrum").dim() == 2);
  // page docs/ddp.md: Data
  const auto state = loader.state_dict();
  ddp::value_or_throw(loader.load_state_dict(state));
  // end
  using ferrun::checkpoint::Dict;
  const std::string file = "loader-" + std::to_string(group->rank()) + ".pt";
  const ddp::CheckpointParts parts;
  // page docs/ddp.md: Data
  ddp::value_or_throw(ddp::save_checkpoint(file, parts, Dict{{"loader", loader.state_dict()}}));
  // end
  const ddp::LoadedCheckpoint loaded = ddp::value_or_throw(ddp::load_checkpoint(file, parts));
  // page docs/ddp.md: Data
  ddp::value_or_throw(loader.load_state_dict(*loaded.content.find("loader")));
  // end
}

void optimizing(const Group& group) {
  ddp::DistributedDataParallel<Net> net(Net(), group);
  const double lr = 0.01;
  ddp::Adam optimizer(net.module()->parameters(), {.lr = lr});
  const Batch batch;
  // page docs/ddp.md: Optimizing
  std::vector<std::unique_ptr<ddp::LrSchedule>> parts;
  parts.push_back(std::make_unique<ddp::LinearLr>(lr, 0.01, 1.0, 500));
  parts.push_back(std::make_unique<ddp::CosineAnnealingLr>(lr, ddp::CosineAnnealingLrOptions{9500}));
  ddp::SequentialLr schedule(std::move(parts), {500});
  schedule.apply_to(optimizer);
  loss_of(net.forward(batch.x), batch.y).backward();
  ddp::clip_grad_norm(net.module()->parameters(), 1.0);
  optimizer.step();
  schedule.step();
  schedule.apply_to(optimizer);  // ferrun's or one of torch::optim, each of its parameter groups
  // end
  EXPECT(equal_on_all(*group, *net.module()));
}

void grouped(const Group& group) {
  if (group->rank() != 0) return;
  const Net net, more;
  const std::vector<at::Tensor> body = net->hidden->parameters(), norms{net->last->bias}, head{net->last->weight},
                                late = more->parameters();
  // page docs/ddp.md: Optimizing
  ddp::Adam optimizer({{body}, {norms, {.weight_decay = 0.0}}, {head, {.lr = 1e-3}}},
                      {.lr = 1e-4, .weight_decay = 0.01, .decoupled_weight_decay = true});
  optimizer.add_param_group({late});
  // end
  EXPECT(optimizer.lrs() == std::vector<double>({1e-4, 1e-4, 1e-3, 1e-4}));
  {
    // page docs/ddp.md: Optimizing
    ddp::StepLr schedule(optimizer.lrs(), 30);
    // end
    const Net last;
    optimizer.add_param_group({last->parameters()});
    schedule.add_group(optimizer.lrs().back());
    schedule.apply_to(optimizer);
  }
  // page docs/ddp.md: Optimizing
  ddp::OneCycleLr schedule({.max_lr = {0.1, 0.02}, .total_steps = 1000, .base_momentum = {0.85, 0.8}});
  // end
  EXPECT(schedule.lrs().size() == 2);
}

void averaging(const Group& group) {
  ddp::DistributedDataParallel<Net> net(Net(), group);
  const double lr = 0.01, loss = 1;
  std::vector<at::Tensor> loader(3, Batch().x);
  ddp::ReduceLrOnPlateau plateau(lr, {});
  // page docs/ddp.md: Optimizing
  {
    ddp::StepLr schedule({0.1, 0.02}, 30);
    EXPECT(schedule.lrs().size() == 2);
  }
  plateau.step(loss);
  ddp::clip_grad_value(net.module()->parameters(), 1.0);
  {
    ddp::AveragedModel average(*net.module());
    average.update();
    const at::Tensor& x = loader.front();
    const auto swapped = average.in_module();
    net.forward(x);
    ddp::update_bn(*net.module(), loader, [&](auto& batch) { net.forward(batch); });
  }
  ddp::ExponentialMovingAverage average(*net.module(), 0.999);
  ddp::SwaLr schedule(lr, {.swa_lr = 0.05});
  ddp::EarlyStopping stopping{.larger_is_better = true, .patience = 5};
  // end
  EXPECT(stopping.improved_by(0.5, 1));
}

void autocasting(const Group& group) {
  ddp::DistributedDataParallel<Net> net(Net(), group);
  ddp::Adam optimizer(net.module()->parameters(), {});
  const std::vector<Batch> batches(2);
  // page docs/ddp.md: Autocast and a gradient scaler
  ddp::GradScaler scaler(at::kCPU);
  for (const Batch& batch : batches) {
    net.zero_grad();
    at::Tensor loss;
    {
      const ddp::AutocastGuard autocast(at::kCPU, at::kBFloat16);
      loss = loss_of(net.forward(batch.x), batch.y);
    }
    scaler.scale(loss).backward();
    scaler.unscale(optimizer);
    ddp::clip_grad_norm(net.module()->parameters(), 1.0);
    scaler.step(optimizer);
    scaler.update();
  }
  // end
  EXPECT(equal_on_all(*group, *net.module()));
}

void weights_of_another(const Group& group) {
  torch::nn::Linear theirs(2, 2);
  if (group->rank() == 0) ddp::value_or_throw(ddp::save_checkpoint("theirs.pt", {.module = &*theirs}));
  group->barrier();
  Net net;
  // page docs/ddp.md: Checkpoints
  const auto loaded = ddp::load_checkpoint(
      "theirs.pt", {.module = &*net},
      {.strict = false, .other_shapes = true, .rename = ddp::rename_prefixes({{"encoder.", "body."}, {"head.", "-"}})});
  for (const std::string& name : loaded->missing)
    EXPECT(!name.empty());  // and unexpected; skipped: "'fc.weight' has the shape [10, 4], …"
  // end
  EXPECT(loaded->missing.size() == 4);
}

void checkpoints(const Group& group) {
  ddp::DistributedDataParallel<Net> net(Net(), group);
  ddp::Adam optimizer(net.module()->parameters(), {});
  const auto schedule = std::make_unique<ddp::StepLr>(0.001, 30);
  const int64_t epoch = 3, samples = 64, step = 100;
  const double validation_loss = 0.5;
  // page docs/ddp.md: Checkpoints
  ddp::SamplerState sampler{epoch, samples};
  std::vector<at::Tensor> random{ddp::random_state()};
  ddp::CheckpointParts parts{.module = &*net.module(),
                             .optimizer = &optimizer,
                             .schedule = schedule.get(),
                             .sampler = &sampler,
                             .random_states = &random};
  if (group->rank() == 0) ddp::value_or_throw(ddp::save_checkpoint("last.pt", parts));
  group->barrier();  // the others read it
  ddp::value_or_throw(ddp::load_checkpoint("last.pt", parts));
  // end
  // page docs/ddp.md: While the training goes on
  ddp::CheckpointSaver saver("checkpoints", {.keep_last = 3, .keep_best = 1});
  if (group->rank() == 0) ddp::value_or_throw(saver.save(step, parts, {}, validation_loss));
  ddp::value_or_throw(saver.finish());
  // end
  group->barrier();
  // page docs/ddp.md: Folders of torch.distributed.checkpoint
  ddp::value_or_throw(ddp::save_distributed_checkpoint("step-100", parts, *group));  // every rank writes a part
  ddp::value_or_throw(ddp::load_checkpoint("step-100", parts));
  // end
}

void being_stopped(const Group& group) {
  ddp::DistributedDataParallel<Net> net(Net(), group);
  ddp::Adam optimizer(net.module()->parameters(), {});
  ddp::CheckpointParts parts{.module = &*net.module(), .optimizer = &optimizer};
  ddp::CheckpointSaver saver("checkpoints", {.keep_last = 3, .keep_best = 1});
  // page docs/ddp.md: Being stopped and started again
  ferrun::client::note_stop_signals();                              // SIGTERM ends the loop, not the process
  const auto here = ferrun::client::context_from_environment();     // where am I: here.rank, here.restart_count, …
  if (const auto path = ddp::resume_path(*group, "checkpoints")) {  // from what: the same on all ranks
    ddp::value_or_throw(ddp::load_checkpoint(*path, parts));
  }
  for (int64_t step = 0; step < 2; ++step) {
    if (ddp::save_now(*group)) {  // any rank was asked to stop: all see it at this step
      if (group->rank() == 0) ddp::value_or_throw(saver.save(step, parts));
      ddp::value_or_throw(saver.finish());
      return;
    }
  }
  // end
  EXPECT(here.world_size == group->world_size());
}

// page docs/ddp-migration.md: From an all-reduce of one's own
void by_hand(const std::shared_ptr<ddp::ProcessGroup>& ours) {
  // end
  Net net;
  ddp::Sgd optimizer(net->parameters(), {.lr = 0.1});
  const Batch batch;
  const at::Tensor loss = loss_of(net->forward(batch.x), batch.y);
  const int world_size = ours->world_size();
  const auto& group = ours->c10d_group();
  // page docs/ddp-migration.md: From an all-reduce of one's own
  loss.backward();
  for (auto& parameter : net->parameters()) {
    std::vector<at::Tensor> gradients{parameter.grad()};
    group->allreduce(gradients)->wait();
    parameter.grad().div_(world_size);
  }
  optimizer.step();
  // end
}

void migrating(const Group& group) {
  const at::Tensor x = Batch().x, y = x.sum(1, true);
  // page docs/ddp-migration.md: From an all-reduce of one's own
  ddp::DistributedDataParallel<Net> net(Net(), group);  // every rank begins with rank 0's weights
  // end
  ddp::Sgd optimizer(net.module()->parameters(), {.lr = 0.1});
  // page docs/ddp-migration.md: From an all-reduce of one's own
  loss_of(net.forward(x), y).backward();  // the gradients are averaged when this returns
  optimizer.step();
  // end
  const int64_t size = 10, epochs = 2;
  {
    const ddp::TensorDataset dataset(x);
    const auto sampler = std::make_shared<ddp::SequentialSampler>(dataset.size());
    // page docs/ddp-migration.md: From `torch::data`
    ddp::DataLoader loader(dataset, sampler, {.batch_size = 32, .num_workers = 4});
    // end
    EXPECT(loader.size() == 1);
  }
  // page docs/ddp-migration.md: From `torch::data`
  ddp::DistributedSampler sampler(size, ddp::shard_of(*group));
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    sampler.set_epoch(epoch);
    const std::vector<int64_t> order = sampler.begin_pass();
    EXPECT(std::ssize(order) == sampler.longest_share());
  }
  // end
  at::Tensor tensor = torch::ones({1});
  // page docs/ddp-migration.md: From a group of one's own
  ddp::all_reduce(*group, tensor, ddp::ReduceOp::kMax);
  // end
}

void saving(const Group& group) {
  if (group->rank() != 0) return;
  Net net;
  // page docs/ddp-migration.md: From `torch::save` and `torch::load`
  ddp::value_or_throw(ddp::save_checkpoint("net.pt", {.module = &*net}));
  ddp::value_or_throw(ddp::load_checkpoint("net.pt", {.module = &*net}));
  // end
}

// page docs/ddp.md: A program
int main() {
  return ddp::run([](const std::shared_ptr<ddp::ProcessGroup>& group) {
    ddp::DistributedDataParallel<Net> net(Net(), group);
    // end
    for (const auto section :
         {accumulating, outputs, hooks, short_parameters, uneven, batch_norm, collectives, data, optimizing, grouped,
          averaging, autocasting, weights_of_another, checkpoints, being_stopped, by_hand, migrating, saving}) {
      section(group);
    }
    std::printf("rank %d of %d: every section ran\n", group->rank(), group->world_size());
    // page docs/ddp.md: A program
  });
}
// end
