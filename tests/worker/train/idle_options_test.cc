#include "worker/train/idle_options.h"

#include <gmock/gmock.h>

namespace ferrun::train {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(IdleOptions, AreNamedWithWhatTheyWouldNeed) {
  TrainOptions options;
  options.given = {"momentum", "nesterov", "step-size", "gamma", "plateau-patience", "faces", "lr", "min-lr"};
  options.data.directory = "faces";
  options.schedule = ScheduleChoice::kCosine;
  EXPECT_THAT(idle_options(options, true), ElementsAre("--momentum changes nothing without --optimizer sgd",
                                                       "--nesterov changes nothing without --optimizer sgd",
                                                       "--step-size changes nothing without --scheduler step",
                                                       "--gamma changes nothing beside --scheduler cosine",
                                                       "--plateau-patience changes nothing without --scheduler plateau",
                                                       "--faces changes nothing beside --data"));
}

TEST(IdleOptions, AreThoseThatWereGiven) {
  TrainOptions options;
  options.momentum = 0.5;
  EXPECT_THAT(idle_options(options, true), IsEmpty());
  options.given = {"momentum", "nesterov", "step-size", "gamma", "faces"};
  options.optimizer = OptimizerChoice::kSgd;
  EXPECT_THAT(idle_options(options, true), IsEmpty()) << "all of them count";
}

TEST(IdleOptions, OfAGpuAreNamedOnACpu) {
  TrainOptions options;
  options.given = {"tf32", "cuda-graph"};
  EXPECT_THAT(idle_options(options, false),
              ElementsAre("--tf32 changes nothing on a CPU", "--cuda-graph changes nothing on a CPU"));
  EXPECT_THAT(idle_options(options, true), IsEmpty());
}

TEST(IdleOptions, SayThatAWarmupLastsLongerThanTheRun) {
  TrainOptions options;
  options.given = {"warmup"};
  options.epochs = options.warmup = 5;
  EXPECT_THAT(idle_options(options, true), ElementsAre("--warmup 5 is not over when the run ends, after 5 epochs"));
  options.warmup = 4;
  EXPECT_THAT(idle_options(options, true), IsEmpty());
}

}  // namespace
}  // namespace ferrun::train
