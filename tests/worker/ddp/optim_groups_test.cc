// Parameter groups without a peer: whose options count, what is refused, and what states and schedules make of them.
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include "worker/ddp/adam.h"
#include "worker/ddp/checkpoint.h"
#include "worker/ddp/cyclic_lr.h"
#include "worker/ddp/grad_scaler.h"
#include "worker/ddp/named_optimizer_state.h"
#include "worker/ddp/sgd.h"
#include "worker/ddp/step_lr.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using torch::nn::Linear;

at::Tensor weight_of_ones(double gradient = 1, int64_t size = 2) {
  at::Tensor weight = at::ones({size}).set_requires_grad(true);
  weight.mutable_grad() = at::ones({size}).mul(gradient);
  return weight;
}

double value_of(const at::Tensor& tensor) { return tensor.detach().index({0}).item<double>(); }

template <typename Call>
std::string thrown_by(Call&& call) {
  try {
    call();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

std::string refused_load(Optimizer& optimizer, const Value& state) {
  const Status loaded = optimizer.load_state_dict(state);
  return loaded.ok() ? "" : loaded.error().message;
}

TEST(ParameterGroups, StepByTheirOwnOptionsAndElseByTheOptimizers) {
  const at::Tensor a = weight_of_ones(), b = weight_of_ones(), c = weight_of_ones();
  Sgd sgd({{{a}}, {{b}, {.lr = 0.5}}, {{c}, {.weight_decay = 0.0}}}, {.lr = 0.25, .weight_decay = 1.0});
  sgd.step();
  EXPECT_EQ(value_of(a), 1 - 0.25 * 2);
  EXPECT_EQ(value_of(b), 1 - 0.5 * 2);
  EXPECT_EQ(value_of(c), 1 - 0.25 * 1);
  EXPECT_EQ(sgd.group_count(), 3u);
  EXPECT_THAT(sgd.lrs(), ElementsAre(0.25, 0.5, 0.25));
  EXPECT_EQ(sgd.options(2).weight_decay, 0.0);
  EXPECT_TRUE(sgd.parameters(1)[0].is_same(b));
  EXPECT_EQ(sgd.parameters().size(), 3u);
  EXPECT_EQ(Sgd({{{a}}, {{b}}}, {}).group_count(), 2u);
  EXPECT_EQ(Sgd({a, b}, {}).group_count(), 1u);
  EXPECT_EQ(Sgd({}, {}).group_count(), 1u);
  const Adam adam({{{a}, {.beta2 = 0.5, .eps = 1.0}}, {{b}, {.lr = 7}}}, {.lr = 2, .decoupled_weight_decay = true});
  EXPECT_EQ(adam.name(), "AdamW");
  EXPECT_EQ(adam.options(0).beta2, 0.5);
  EXPECT_EQ(adam.options(0).lr, 2);
  EXPECT_EQ(adam.options(1).eps, 1e-8);
  EXPECT_TRUE(adam.options(1).decoupled_weight_decay);
}

TEST(ParameterGroups, CanBeAddedAndBeginWhereTheyAre) {
  const at::Tensor a = weight_of_ones(), b = weight_of_ones();
  Sgd sgd({a}, {.lr = 0.5, .momentum = 0.5});
  sgd.step();
  sgd.add_param_group({{b}, {.lr = 0.25}});
  sgd.step();
  EXPECT_EQ(value_of(a), 1 - 0.5 - 0.5 * 1.5);
  EXPECT_EQ(value_of(b), 0.75);
  EXPECT_EQ(sgd.options(1).momentum, 0.5);
}

TEST(ParameterGroups, TiedWeightsCountOnceAsInPython) {
  const at::Tensor tied = weight_of_ones(), other = weight_of_ones();
  Sgd sgd({tied, other, tied}, {.lr = 0.25});
  ASSERT_EQ(sgd.parameters().size(), 2u);
  sgd.add_param_group({{weight_of_ones()}});
  EXPECT_TRUE(sgd.parameters()[1].is_same(other));
  sgd.step();
  EXPECT_EQ(value_of(tied), 0.75) << "one step, not one for each name";
  EXPECT_EQ(value_of(other), 0.75);
}

TEST(ParameterGroups, AParameterThatIsThereAlreadyIsRefusedWithItsPlace) {
  const at::Tensor a = weight_of_ones(), b = weight_of_ones(1, 3), c = weight_of_ones();
  EXPECT_THAT(thrown_by([&] {
                Adam({{{a, b}}, {{c, b}}});
              }),
              HasSubstr("parameter 1 of group 1, of the shape [3], is in the optimizer already, as parameter 1 of "
                        "group 0"));
  Sgd sgd({a}, {.lr = 0.5});
  EXPECT_THAT(thrown_by([&] { sgd.add_param_group({{c, a}}); }), HasSubstr("as parameter 0 of group 0"));
  EXPECT_EQ(sgd.group_count(), 1u);
  sgd.step();
  EXPECT_EQ(value_of(c), 1) << "nothing of a refused group is taken over";
  EXPECT_THAT(thrown_by([] { Sgd(std::vector<SgdGroup>()); }), HasSubstr("SGD needs a parameter group"));
  EXPECT_THAT(thrown_by([&] { sgd.add_param_group({{at::Tensor()}}); }), HasSubstr("parameter 0 of group 1"));
}

TEST(ParameterGroups, AnOverflowLeavesAllOfThemAsTheyWere) {
  const at::Tensor a = weight_of_ones(8), b = weight_of_ones(std::numeric_limits<double>::infinity());
  Adam adam({{{a}, {.lr = 0.5}}, {{b}, {.lr = 0.25}}});
  GradScaler scaler(at::kCPU, {.init_scale = 8});
  scaler.step(adam);
  EXPECT_TRUE(scaler.skipped());
  scaler.update();
  EXPECT_EQ(value_of(a), 1);
  at::Tensor(b).mutable_grad() = at::full({2}, 8.0);
  scaler.step(adam);
  EXPECT_FALSE(scaler.skipped());
  EXPECT_NEAR(value_of(a), 0.5, 1e-6);
  EXPECT_NEAR(value_of(b), 0.75, 1e-6);
}

TEST(ParameterGroups, HaveRatesAndMomentumsOfASchedule) {
  const at::Tensor a = weight_of_ones(), b = weight_of_ones();
  Sgd sgd({{{a}}, {{b}}}, {.momentum = 0.5});
  StepLr halving({0.5, 0.25}, 1, 0.5);
  halving.step();
  halving.apply_to(sgd);
  EXPECT_THAT(sgd.lrs(), ElementsAre(0.25, 0.125));
  EXPECT_THAT(thrown_by([&] { StepLr(0.5, 1).apply_to(sgd); }),
              HasSubstr("the schedule has rates for 1 parameter groups, the optimizer has 2"));
  OneCycleLrOptions options{.max_lr = {0.5, 0.25}, .total_steps = 10};
  options.base_momentum = {0.7, 0.8};
  OneCycleLr cycle(options);
  cycle.apply_to(sgd);
  EXPECT_DOUBLE_EQ(sgd.options(0).momentum, 0.95);
  EXPECT_DOUBLE_EQ(sgd.options(1).momentum, 0.95);
  cycle.step(), cycle.step();
  cycle.apply_to(sgd);
  EXPECT_DOUBLE_EQ(sgd.options(0).momentum, 0.7);
  EXPECT_DOUBLE_EQ(sgd.options(1).momentum, 0.8);
  options.base_momentum = {0.7, 0.8, 0.9};
  EXPECT_THAT(thrown_by([&] { OneCycleLr refused(options); }),
              HasSubstr("OneCycleLR's base_momentum is given for 3 of 2 parameter groups"));
  sgd.set_lr(3);
  EXPECT_THAT(sgd.lrs(), ElementsAre(3, 3));
  EXPECT_THAT(thrown_by([&] { sgd.set_lrs({1, 2, 3}); }), HasSubstr("rates for 3 parameter groups"));
}

// The groups' items of this name.
std::vector<double> saved_numbers(const Value& state, const char* key) {
  std::vector<double> numbers;
  for (const Value& group : *state.find("param_groups")->get<List>())
    numbers.push_back(*group.find(key)->get<double>());
  return numbers;
}

TEST(ParameterGroups, AreSavedWithParametersNumberedAcrossThem) {
  const at::Tensor a = weight_of_ones(), b = weight_of_ones(), c = weight_of_ones();
  Adam adam({{{a, b}}, {{c}, {.lr = 0.5}}});
  at::Tensor(b).mutable_grad().reset();
  adam.step();
  const Value state = adam.state_dict({0.25, 0.75});
  EXPECT_THAT(saved_numbers(state, "lr"), ElementsAre(1e-3, 0.5));
  EXPECT_THAT(saved_numbers(state, "initial_lr"), ElementsAre(0.25, 0.75));
  const List& groups = *state.find("param_groups")->get<List>();
  EXPECT_EQ(groups[0].find("params")->get<List>()->size(), 2u);
  EXPECT_EQ(*groups[1].find("params")->get<List>()->front().get<int64_t>(), 2);
  std::vector<int64_t> known;
  for (const auto& [key, entry] : *state.find("state")->get<Dict>()) known.push_back(*key.get<int64_t>());
  EXPECT_THAT(known, ElementsAre(0, 2));
}

TEST(ParameterGroups, AStateOfOtherGroupsIsRefusedAndChangesNothing) {
  const at::Tensor a = weight_of_ones(), b = weight_of_ones(), c = weight_of_ones();
  Sgd from({{{a, b}, {.lr = 9}}, {{c}, {.lr = 9}}}, {.momentum = 0.5});
  from.step();
  const Value state = from.state_dict({9, 9});
  Sgd one({a, b, c}, {.lr = 0.5});
  EXPECT_THAT(refused_load(one, state), HasSubstr("it has 2 parameter groups, this optimizer has one"));
  Sgd three({{{a}}, {{b}}, {{c}}}, {.lr = 0.5});
  EXPECT_THAT(refused_load(three, state), HasSubstr("it has 2 parameter groups, this optimizer has 3"));
  Sgd other({{{a}}, {{b, c}}}, {.lr = 0.5});
  EXPECT_THAT(refused_load(other, state), HasSubstr("its group 0 has 2 parameters, this optimizer's has 1"));
  EXPECT_THAT(refused_load(other, Sgd({a, b, c}, {}).state_dict(1)),
              HasSubstr("it has 1 parameter group, this optimizer has 2"));
  Value swapped = state;
  List& groups = *swapped.find("param_groups")->get<List>();
  *groups[1].find("params") = List{int64_t{0}};
  Sgd same({{{a, b}}, {{c}}}, {.lr = 0.5});
  EXPECT_THAT(refused_load(same, swapped), HasSubstr("its group 1 has other parameters than this optimizer's"));
  Value damaged = state;
  *damaged.find("state")->get<Dict>()->back().second.find("momentum_buffer") = at::ones({5});
  EXPECT_THAT(refused_load(same, damaged), HasSubstr("parameter 2's momentum_buffer has another shape"));
  Value mixed = state;
  mixed.find("param_groups")->get<List>()->back() =
      Adam({c}, {}).state_dict(1).find("param_groups")->get<List>()->front();
  EXPECT_THAT(refused_load(same, mixed), HasSubstr("the checkpoint's optimizer is Adam, this run's is SGD"));
  for (Sgd* each : {&one, &three, &other, &same}) {
    EXPECT_EQ(each->lr(), 0.5);
    EXPECT_EQ(each->options().momentum, 0.0);
    EXPECT_TRUE(each->state_dict(each->lrs()).find("state")->get<Dict>()->empty());
  }
  EXPECT_EQ(refused_load(same, state), "");
  EXPECT_THAT(same.lrs(), ElementsAre(9, 9));
}

TEST(ParameterGroups, GoOnFromACheckpointWithTheUndisturbedRunsBits) {
  Linear undisturbed(3, 2), resumed(3, 2);
  const auto groups = [](Linear& net) {
    return std::vector<AdamGroup>{{{net->weight}, {.lr = 0.1}}, {{net->bias}, {.lr = 0.2, .weight_decay = 0.0}}};
  };
  Adam first(groups(undisturbed), {.weight_decay = 0.5}), second(groups(resumed), {.lr = 7});
  StepLr schedule({0.1, 0.2}, 1, 0.5), other({0.1, 0.2}, 1, 0.5);
  const auto step = [](Linear& net, Adam& adam, StepLr& rates) {
    adam.zero_grad();
    net(at::full({1, 3}, 1.0)).square().sum().backward();
    adam.step();
    rates.step();
    rates.apply_to(adam);
  };
  step(undisturbed, first, schedule);
  const auto content = checkpoint_content({.module = &*undisturbed, .optimizer = &first, .schedule = &schedule});
  ASSERT_TRUE(content.ok()) << content.error().message;
  EXPECT_THAT(saved_numbers(*Value(*content).find("optimizer_state_dict"), "initial_lr"), ElementsAre(0.1, 0.2));
  const auto loaded = load_content(*content, {.module = &*resumed, .optimizer = &second, .schedule = &other});
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_THAT(second.lrs(), ElementsAre(0.05, 0.1));
  EXPECT_EQ(second.options(0).weight_decay, 0.5);
  step(undisturbed, first, schedule);
  step(resumed, second, other);
  EXPECT_TRUE(resumed->weight.equal(undisturbed->weight));
  EXPECT_TRUE(resumed->bias.equal(undisturbed->bias));
  StepLr few(0.1, 1);
  EXPECT_THAT(checkpoint_content({.optimizer = &first, .schedule = &few}).error().message,
              HasSubstr("the schedule has rates for 1 parameter groups, the optimizer has 2"));
}

TEST(ParameterGroups, OfAStateByNamesAreFoundByTheirParameters) {
  Linear net(3, 2);
  Sgd saved({{{net->bias}, {.lr = 0.1}}, {{net->weight}, {.lr = 0.2}}});
  const Value by_name = optimizer_state_by_name(saved.state_dict({0.1, 0.2}), *net, saved.parameters());
  Sgd loaded({{{net->weight}}, {{net->bias}}});
  ASSERT_EQ(refused_load(loaded, optimizer_state_by_index(by_name, *net, loaded.parameters())), "");
  EXPECT_THAT(loaded.lrs(), ElementsAre(0.2, 0.1));
  Sgd one({net->bias, net->weight}, {});
  const Value reversed = optimizer_state_by_name(one.state_dict(1), *net, one.parameters());
  Sgd other({net->weight, net->bias}, {});
  EXPECT_EQ(refused_load(other, optimizer_state_by_index(reversed, *net, other.parameters())), "");
  EXPECT_THAT(refused_load(loaded, optimizer_state_by_index(reversed, *net, loaded.parameters())),
              HasSubstr("it has 1 parameter group, this optimizer has 2"));
}

// Python's OneCycleLR looks for its limits in the optimizer's groups.
TEST(ParameterGroups, OfACheckpointHaveWhatPythonsSchedulesKeepThere) {
  const at::Tensor a = weight_of_ones(), b = weight_of_ones();
  Sgd sgd({{{a}}, {{b}}}, {.momentum = 0.5});
  const std::vector<torch::optim::OptimizerParamGroup> groups{std::vector<at::Tensor>{a}, std::vector<at::Tensor>{b}};
  torch::optim::SGD theirs(groups, torch::optim::SGDOptions(1).momentum(0.5));
  OneCycleLrOptions options{.max_lr = {0.5, 0.25}, .total_steps = 10};
  options.max_momentum = {0.9, 0.8};
  OneCycleLr cycle(options);
  for (const CheckpointParts& parts : {CheckpointParts{.optimizer = &sgd, .schedule = &cycle},
                                       CheckpointParts{.schedule = &cycle, .torch_optimizer = &theirs}}) {
    const auto content = checkpoint_content(parts);
    ASSERT_TRUE(content.ok()) << content.error().message;
    const Value state = *Value(*content).find("optimizer_state_dict");
    EXPECT_THAT(saved_numbers(state, "initial_lr"), ElementsAre(0.5 / 25, 0.25 / 25));
    EXPECT_THAT(saved_numbers(state, "max_lr"), ElementsAre(0.5, 0.25));
    EXPECT_THAT(saved_numbers(state, "min_lr"), ElementsAre(0.5 / 25 / 1e4, 0.25 / 25 / 1e4));
    EXPECT_THAT(saved_numbers(state, "max_momentum"), ElementsAre(0.9, 0.8));
    EXPECT_THAT(saved_numbers(state, "base_momentum"), ElementsAre(0.85, 0.85));
  }
}

}  // namespace
}  // namespace ferrun::ddp
