// Optimizers with several parameter groups against torch.optim's, fused, on the same gradients, alone and with
// schedules that have rates and momentums by group; each goes on from the other's state.
#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "tests/parity/peer_values.h"
#include "worker/checkpoint/writer.h"
#include "worker/ddp/adam.h"
#include "worker/ddp/checkpoint.h"
#include "worker/ddp/cyclic_lr.h"
#include "worker/ddp/sgd.h"
#include "worker/ddp/step_lr.h"

namespace ferrun::parity {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;
using Parameters = std::vector<at::Tensor>;

constexpr size_t kGroupSteps = 8, kGroupHalf = 4, kGroupAdded = 2;

struct GroupCase {
  const char* name;
  std::function<std::unique_ptr<ddp::Optimizer>(const Parameters&)> optimizer;
  std::function<std::unique_ptr<ddp::LrSchedule>()> schedule = nullptr;
  std::function<void(ddp::Optimizer&, const Parameters&)> add = nullptr;
};

Parameters part_of(const Parameters& all, size_t begin, size_t end) {
  return {all.begin() + static_cast<long>(begin), all.begin() + static_cast<long>(end)};
}

std::unique_ptr<ddp::Optimizer> adam_of_groups(const Parameters& all) {
  return std::unique_ptr<ddp::Optimizer>(new ddp::Adam({{part_of(all, 0, 2)},
                                                        {part_of(all, 2, 3), {.lr = 0.05, .beta1 = 0.8, .beta2 = 0.99}},
                                                        {part_of(all, 3, 5), {.eps = 1e-6, .weight_decay = 0.1}}},
                                                       {.lr = 0.01}));
}

std::unique_ptr<ddp::Optimizer> adamw_of_groups(const Parameters& all) {
  return std::unique_ptr<ddp::Optimizer>(new ddp::Adam(
      {{part_of(all, 0, 2)}, {part_of(all, 2, 3), {.weight_decay = 0.0}}, {part_of(all, 3, 5), {.lr = 0.02}}},
      {.lr = 0.01, .weight_decay = 0.01, .decoupled_weight_decay = true}));
}

std::unique_ptr<ddp::Optimizer> sgd_of_groups(const Parameters& all) {
  return std::unique_ptr<ddp::Optimizer>(new ddp::Sgd({{part_of(all, 0, 2)},
                                                       {part_of(all, 2, 3), {.lr = 0.02, .nesterov = true}},
                                                       {part_of(all, 3, 5), {.momentum = 0.0, .weight_decay = 0.0}}},
                                                      {.lr = 0.05, .momentum = 0.9, .weight_decay = 5e-4}));
}

std::unique_ptr<ddp::Optimizer> sgd_with_momentum(const Parameters& all) {
  return std::unique_ptr<ddp::Optimizer>(
      new ddp::Sgd({{part_of(all, 0, 2)}, {part_of(all, 2, 3)}, {part_of(all, 3, 5)}}, {.lr = 1.0, .momentum = 0.5}));
}

std::unique_ptr<ddp::LrSchedule> one_cycle_of_groups(bool beta1) {
  ddp::OneCycleLrOptions options{.max_lr = {0.05, 0.02, 0.1}, .total_steps = 20};
  options.base_momentum = {0.8, 0.85, 0.7};
  options.max_momentum = {0.9, 0.95, 0.99};
  options.beta1 = beta1;
  return std::make_unique<ddp::OneCycleLr>(options);
}

std::unique_ptr<ddp::LrSchedule> cyclic_of_groups() {
  ddp::CyclicLrOptions options{.base_lr = {0.001, 0.002, 0.003}, .max_lr = {0.1, 0.05, 0.02}, .step_size_up = 3};
  options.base_momentum = {0.8, 0.7, 0.6};
  options.max_momentum = {0.9, 0.95, 0.99};
  return std::make_unique<ddp::CyclicLr>(options);
}

std::vector<GroupCase> every_group_case() {
  return {{"adam", adam_of_groups},
          {"adamw", adamw_of_groups},
          {"sgd", sgd_of_groups},
          {"adam_added",
           [](const Parameters& all) {
             return std::make_unique<ddp::Adam>(part_of(all, 0, 4), ddp::AdamOptions{.lr = 0.01});
           },
           nullptr,
           [](ddp::Optimizer& adam, const Parameters& all) {
             static_cast<ddp::Adam&>(adam).add_param_group({part_of(all, 4, 5), {.lr = 0.1}});
           }},
          {"sgd_added",
           [](const Parameters& all) {
             return std::make_unique<ddp::Sgd>(part_of(all, 0, 4), ddp::SgdOptions{.lr = 0.05, .momentum = 0.9});
           },
           nullptr,
           [](ddp::Optimizer& sgd, const Parameters& all) {
             static_cast<ddp::Sgd&>(sgd).add_param_group({part_of(all, 4, 5), {.lr = 0.1}});
           }},
          {"adam_step", adam_of_groups,
           [] {
             return std::make_unique<ddp::StepLr>(ddp::GroupRates{0.01, 0.05, 0.01}, 2, 0.5);
           }},
          {"adam_cycle", adam_of_groups, [] { return one_cycle_of_groups(true); }},
          {"sgd_cycle", sgd_with_momentum, [] { return one_cycle_of_groups(false); }},
          {"sgd_cyclic", sgd_with_momentum, cyclic_of_groups}};
}

class ParamGroupsParity : public PeerValueTest {
 protected:
  void SetUp() override {
    run_peer("param_groups_peer.py", "write");
    if (!IsSkipped() && !HasFatalFailure()) record_ = load("record.pt");
  }

  Parameters recorded_at(const std::string& key, size_t step) const {
    Parameters found;
    for (const Value& item : *(*entry(record_, key).get<List>())[step].get<List>()) {
      found.push_back(*item.get<at::Tensor>());
    }
    return found;
  }

  static Parameters copies_of(const Parameters& values) {
    Parameters copies;
    for (const at::Tensor& value : values) copies.push_back(value.clone().set_requires_grad(true));
    return copies;
  }

  // Steps from `begin` to `end`, each compared with the record.
  void follow(const GroupCase& one, Parameters& parameters, ddp::Optimizer& optimizer, ddp::LrSchedule* schedule,
              size_t begin, size_t end) const {
    if (schedule != nullptr) schedule->apply_to(optimizer);
    for (size_t step = begin; step < end; ++step) {
      if (one.add && step == kGroupAdded) one.add(optimizer, parameters);
      const Parameters gradients = recorded_at("gradients", step), expected = recorded_at(one.name, step);
      for (size_t i = 0; i < parameters.size(); ++i) parameters[i].mutable_grad() = gradients[i].clone();
      optimizer.step();
      if (schedule != nullptr) {
        schedule->step();
        schedule->apply_to(optimizer);
      }
      for (size_t i = 0; i < parameters.size(); ++i) {
        EXPECT_TRUE(parameters[i].detach().equal(expected[i])) << one.name << ", step " << step << ", parameter " << i;
      }
    }
  }

  Value record_;
};

TEST_F(ParamGroupsParity, StepsEqualTheFusedOptimizersBitForBit) {
  for (const GroupCase& one : every_group_case()) {
    Parameters parameters = copies_of(tensors(record_, "initial"));
    const auto optimizer = one.optimizer(parameters);
    const auto schedule = one.schedule ? one.schedule() : nullptr;
    follow(one, parameters, *optimizer, schedule.get(), 0, kGroupSteps);
  }
}

TEST_F(ParamGroupsParity, GoesOnFromPythonsState) {
  for (const GroupCase& one : every_group_case()) {
    const Value half_way = load(one.name + std::string("_half_way.pt"));
    Parameters parameters = copies_of(tensors(half_way, "weights"));
    const auto optimizer = one.optimizer(parameters);
    if (one.add) one.add(*optimizer, parameters);
    optimizer->set_lr(7);
    const auto schedule = one.schedule ? one.schedule() : nullptr;
    const auto loaded = ddp::load_content(half_way, {.optimizer = optimizer.get(), .schedule = schedule.get()});
    ASSERT_TRUE(loaded.ok()) << one.name << ": " << loaded.error().message;
    follow(one, parameters, *optimizer, schedule.get(), kGroupHalf, kGroupSteps);
  }
}

TEST_F(ParamGroupsParity, PythonGoesOnFromOurState) {
  Dict all;
  for (const GroupCase& one : every_group_case()) {
    Parameters parameters = copies_of(tensors(record_, "initial"));
    const auto optimizer = one.optimizer(parameters);
    const auto schedule = one.schedule ? one.schedule() : nullptr;
    follow(one, parameters, *optimizer, schedule.get(), 0, kGroupHalf);
    auto content = ddp::checkpoint_content({.optimizer = optimizer.get(), .schedule = schedule.get()});
    ASSERT_TRUE(content.ok()) << content.error().message;
    List weights;
    for (const at::Tensor& parameter : parameters) weights.emplace_back(parameter.detach());
    content->emplace_back("weights", std::move(weights));
    all.emplace_back(one.name, std::move(*content));
  }
  const Status saved = checkpoint::write_atomically(result("ours.pt").string(), all);
  ASSERT_TRUE(saved.ok()) << saved.error().message;
  run_peer("param_groups_peer.py", "check");
}

}  // namespace
}  // namespace ferrun::parity
