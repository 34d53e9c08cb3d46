#include "worker/train/continuation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun::train {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// As torch.optim writes it, without the tensors.
Value optimizer_state(const Dict& group) { return Dict{{"state", Dict{}}, {"param_groups", List{group}}}; }

Value sgd_and_cosine() {
  return Dict{
      {"epoch", 3},
      {"optimizer_state_dict", optimizer_state({{"lr", 0.05},
                                                {"momentum", 0.8},
                                                {"dampening", 0},
                                                {"weight_decay", 1e-4},
                                                {"nesterov", true},
                                                {"initial_lr", 0.1}})},
      {"scheduler_state_dict",
       Dict{{"T_max", 20}, {"eta_min", 0.0}, {"base_lrs", List{0.1}}, {"last_epoch", 3}, {"_last_lr", List{0.05}}}}};
}

Value adam_and_plateau() {
  return Dict{{"epoch", 3},
              {"optimizer_state_dict", optimizer_state({{"lr", 0.0005},
                                                        {"betas", List{0.9, 0.999}},
                                                        {"amsgrad", false},
                                                        {"weight_decay", 0},
                                                        {"decoupled_weight_decay", true}})},
              {"scheduler_state_dict",
               Dict{{"factor", 0.5}, {"patience", 4}, {"num_bad_epochs", 1}, {"_last_lr", List{0.0005}}}}};
}

TrainOptions asked_for(const std::set<std::string>& given) {
  TrainOptions options;
  options.given = given;
  return options;
}

TEST(Continuation, HasTheOptionsOfPythonsStates) {
  const auto continued = continue_options(asked_for({}), sgd_and_cosine());
  ASSERT_TRUE(continued.ok()) << continued.error().message;
  const TrainOptions& options = continued->options;
  EXPECT_EQ(options.optimizer, OptimizerChoice::kAdam) << "not chosen by a state: that one is then refused by name";
  EXPECT_EQ(options.momentum, 0.8);
  EXPECT_TRUE(options.nesterov);
  EXPECT_EQ(options.weight_decay, 1e-4);
  EXPECT_EQ(options.schedule, ScheduleChoice::kCosine);
  EXPECT_EQ(options.lr, 0.1) << "the rate that the schedule began with";
  EXPECT_EQ(options.epochs, 20) << "the cosine's";
  EXPECT_FALSE(continued->new_schedule);
}

TEST(Continuation, TakesASchedulesOptionsThatAreGivenAsTheyWereForTheSameSchedule) {
  TrainOptions asked = asked_for({"lr", "scheduler", "epochs", "optimizer", "momentum"});
  asked.lr = 0.1;
  asked.schedule = ScheduleChoice::kCosine;
  asked.epochs = 20;
  asked.optimizer = OptimizerChoice::kSgd;
  EXPECT_FALSE(continue_options(asked, sgd_and_cosine())->new_schedule);
  asked.lr = 0.2;
  EXPECT_TRUE(continue_options(asked, sgd_and_cosine())->new_schedule);
  asked.lr = 0.1;
  asked.epochs = 30;
  EXPECT_TRUE(continue_options(asked, sgd_and_cosine())->new_schedule);
}

TEST(Continuation, ACosineThatIsDrawnLongerEndsAtItsOwnRate) {
  const Value low = Dict{{"scheduler_state_dict", Dict{{"T_max", 20}, {"eta_min", 1e-5}, {"base_lrs", List{0.1}}}}};
  TrainOptions asked = asked_for({"epochs"});
  asked.epochs = 30;
  const auto longer = continue_options(asked, low);
  ASSERT_TRUE(longer.ok());
  EXPECT_TRUE(longer->new_schedule);
  EXPECT_EQ(longer->options.min_lr, 1e-5);
  asked = asked_for({"min-lr"});
  asked.min_lr = 1e-5;
  EXPECT_FALSE(continue_options(asked, low)->new_schedule);
  asked.min_lr = 1e-4;
  EXPECT_TRUE(continue_options(asked, low)->new_schedule);
}

TEST(Continuation, CountsTheWarmupBeforeACosine) {
  const Value warm = Dict{{"scheduler_state_dict",
                           Dict{{"_milestones", List{5}},
                                {"_schedulers", List{Dict{{"start_factor", 0.1}, {"base_lrs", List{0.1}}},
                                                     Dict{{"T_max", 15}, {"eta_min", 0}, {"base_lrs", List{0.1}}}}}}}};
  const auto continued = continue_options(asked_for({}), warm);
  ASSERT_TRUE(continued.ok());
  EXPECT_EQ(continued->options.warmup, 5);
  EXPECT_EQ(continued->options.epochs, 20);
}

TEST(Continuation, SaysThatAPlateauGoesOnAtItsOwnRate) {
  TrainOptions asked = asked_for({"lr"});
  asked.lr = 0.001;
  const auto continued = continue_options(asked, adam_and_plateau());
  ASSERT_TRUE(continued.ok());
  EXPECT_EQ(continued->options.schedule, ScheduleChoice::kPlateau);
  EXPECT_EQ(continued->options.plateau_patience, 4);
  EXPECT_EQ(continued->options.gamma, 0.5);
  EXPECT_FALSE(continued->new_schedule);
  EXPECT_THAT(continued->notes, ElementsAre(HasSubstr("--lr is left out")));
  EXPECT_THAT(continue_options(asked_for({}), adam_and_plateau())->notes, IsEmpty());
}

// What a plateau holds for better is its metric's: another one begins anew.
TEST(Continuation, APlateauWatchesWhatTheRunDoes) {
  const Value falling =
      Dict{{"scheduler_state_dict",
            Dict{{"mode", "min"}, {"factor", 0.5}, {"patience", 4}, {"num_bad_epochs", 1}, {"best", 0.3}}}};
  const auto of_python = continue_options(asked_for({}), falling);
  ASSERT_TRUE(of_python.ok()) << of_python.error().message;
  EXPECT_EQ(of_python->options.monitor, Monitor::kLoss) << "PyTorch's mode min";
  EXPECT_FALSE(of_python->new_schedule);
  TrainOptions asked = asked_for({"monitor"});
  asked.monitor = Monitor::kAccuracy;
  EXPECT_TRUE(continue_options(asked, falling)->new_schedule);
  const Value ours = Dict{{"options", Dict{{"scheduler", "plateau"}, {"monitor", "val_loss"}}}};
  EXPECT_TRUE(continue_options(asked, ours)->new_schedule);
  asked.monitor = Monitor::kLoss;
  EXPECT_FALSE(continue_options(asked, ours)->new_schedule);
}

TEST(Continuation, KeepsWhatEndsARunAndWhatIsBetter) {
  const Value ours = Dict{{"options", Dict{{"monitor", "val_loss"}, {"min_delta", 0.25}, {"nesterov", true}}},
                          {"length", Dict{{"epochs", 9}, {"patience", 2}}}};
  const auto continued = continue_options(asked_for({}), ours);
  ASSERT_TRUE(continued.ok());
  EXPECT_EQ(continued->options.monitor, Monitor::kLoss);
  EXPECT_EQ(continued->options.min_delta, 0.25);
  EXPECT_EQ(continued->options.epochs, 9);
  EXPECT_EQ(continued->options.patience, 2);
  EXPECT_EQ(continue_options(asked_for({"patience"}), ours)->options.patience, 20) << "given beside --resume";
  const auto damaged = continue_options(asked_for({}), Dict{{"length", Dict{{"epochs", -1}}}});
  ASSERT_FALSE(damaged.ok());
  EXPECT_THAT(damaged.error().message, HasSubstr("epochs is -1"));
}

TEST(Continuation, ComputesAsTheCheckpointsRunDid) {
  const Value ours = Dict{{"options", Dict{{"precision", "bf16"}, {"channels_last", false}}}};
  const auto continued = continue_options(asked_for({}), ours);
  ASSERT_TRUE(continued.ok());
  EXPECT_EQ(continued->options.amp, AmpChoice::kBFloat16);
  EXPECT_FALSE(continued->options.channels_last);
  EXPECT_EQ(continue_options(asked_for({"amp"}), ours)->options.amp, AmpChoice::kUnasked) << "given beside --resume";
  TrainOptions ordered = asked_for({"channels-last"});
  EXPECT_TRUE(continue_options(ordered, ours)->options.channels_last);
  const Value other_order = Dict{{"options", Dict{{"channels_last", true}}}};
  ordered = asked_for({"no-channels-last"});
  ordered.channels_last = false;
  EXPECT_FALSE(continue_options(ordered, other_order)->options.channels_last);
}

TEST(Continuation, GoesOnWithThePicturesOfTheCheckpointsRun) {
  const Value ours = Dict{{"data", "/data/fer"}, {"options", Dict{{"split", List{0.75, 0.25}}}}};
  const auto pictures = [&](const DataOptions& data, const Value& checkpoint) {
    TrainOptions asked = asked_for({});
    asked.data = data;
    return continue_options(asked, checkpoint)->options.data;
  };
  EXPECT_EQ(pictures({}, ours).directory, "/data/fer");
  EXPECT_THAT(pictures({}, ours).split, ElementsAre(0.75, 0.25));
  DataOptions same;
  same.directory = "/data/fer/";
  EXPECT_THAT(pictures(same, ours).split, ElementsAre(0.75, 0.25)) << "the same folder is divided in the same way";
  same.split = {0.5, 0.5};
  EXPECT_THAT(pictures(same, ours).split, ElementsAre(0.5, 0.5));
  DataOptions other;
  other.directory = "/data/others";
  EXPECT_EQ(pictures(other, ours).directory, "/data/others");
  EXPECT_THAT(pictures(other, ours).split, IsEmpty());
  const Value drawn = Dict{{"data", ""}, {"options", Dict{{"faces", 20}}}};
  EXPECT_EQ(pictures({}, drawn).faces(), 20);
  DataOptions more;
  more.faces_per_class = 30;
  EXPECT_EQ(pictures(more, drawn).faces(), 30);
  EXPECT_EQ(pictures(more, ours).directory, "") << "drawn faces were asked for";
  EXPECT_EQ(pictures({}, Dict{}).directory, "");
}

TEST(Continuation, RefusesASizeThatItsTransformsDoNotGive) {
  const Value ours =
      Dict{{"options", Dict{{"image_size", 64}, {"transforms", data::recipe_text(data::Recipe::standard(64))}}}};
  EXPECT_EQ(continue_options(asked_for({}), ours)->options.data.transforms, data::Recipe::standard(64));
  TrainOptions asked = asked_for({"image-size"});
  asked.data.image_size = 96;
  EXPECT_THAT(continue_options(asked, ours).error().message,
              HasSubstr("its transforms give pictures of 64, not of --image-size 96"));
}

TEST(Continuation, OfAStrangersStatesIsWhatWasAskedFor) {
  for (const Value& strange : {Value(), Value(Dict{{"scheduler_state_dict", 3}, {"optimizer_state_dict", List{}}}),
                               Value(Dict{{"scheduler_state_dict", Dict{{"_schedulers", 4}}}})}) {
    const auto continued = continue_options(asked_for({}), strange);
    ASSERT_TRUE(continued.ok());
    EXPECT_EQ(continued->options.lr, 1e-3);
    EXPECT_EQ(continued->options.schedule, ScheduleChoice::kStep);
  }
}

}  // namespace
}  // namespace ferrun::train
