// What is told of a failed worker's GPU, with a library in NVML's place that plays the devices.
#include "launcher/io/probe/gpu_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <fstream>

#include "launcher/io/probe/kernel_log.h"
#include "tests/launcher/io/machine_tree.h"
#include "tests/temporary_directory.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kFirst = "0000:1b:00.0";
constexpr const char* kSecond = "0000:43:00.0";

class GpuWatchTest : public ::testing::Test {
 protected:
  GpuWatchTest() {
    testing::Machine machine;
    machine.gpus = {{kFirst, 0}, {kSecond, 0}};
    testing::write_machine(machine, folder_.path());
    std::ofstream(folder_.path() / "dev/nvidiactl") << "";
    fs::copy_file(FERRUN_STAND_IN_NVML, folder_.path() / "libnvidia-ml.so.1");
    options_.library = folder_.path() / "libnvidia-ml.so.1";
    options_.root = folder_.path();
    options_.kernel_log = folder_.path() / "kmsg";
    options_.patience = std::chrono::seconds(60);
    config_.workers = 2;
  }

  void devices(const std::string& facts) const {
    std::ofstream file(folder_.path() / "devices", std::ios::app);
    for (const char* address : {kFirst, kSecond}) file << "device " << address << "\n";
    file << facts;
  }
  void say_in_kernel_log(const std::string& text) const {
    std::ofstream(folder_.path() / "kmsg", std::ios::app) << text;
  }

  // The look at the start is over.
  void start() {
    watch_ = GpuWatch::start(io_, config_, options_);
    ASSERT_NE(watch_, nullptr);
    io_.run();
  }
  GpuWatch::Lines examine(const std::vector<int>& ranks) {
    GpuWatch::Lines told;
    watch_->examine(ranks, [&](const GpuWatch::Lines& lines) { told = lines; });
    io_.restart();
    while (told.empty() && io_.run_one() > 0) {
    }
    return told;
  }

  const testing::TemporaryDirectory folder_;
  GpuWatch::Options options_;
  JobConfig config_;
  boost::asio::io_context io_;
  std::unique_ptr<GpuWatch> watch_;
};

TEST_F(GpuWatchTest, WithoutTheDriverThereIsNothing) {
  fs::remove(folder_.path() / "dev/nvidiactl");
  EXPECT_EQ(GpuWatch::start(io_, config_, options_), nullptr);
}

TEST_F(GpuWatchTest, WithoutTheLibraryNothingIsSaid) {
  options_.library = folder_.path() / "absent.so";
  start();
  EXPECT_THAT(examine({0, 1}), ElementsAre(IsEmpty(), IsEmpty()));
}

TEST_F(GpuWatchTest, HealthyDevicesAreNotMentioned) {
  devices("ecc 0000:1b:00.0 3\nmemory 0000:1b:00.0 1000 80000000000\nrows 0000:1b:00.0 0 0\nthrottle 0000:1b:00.0 4\n");
  start();
  EXPECT_THAT(examine({0, 1}), ElementsAre(IsEmpty(), IsEmpty()));
}

TEST_F(GpuWatchTest, TellsWhatHasHappenedToTheWorkersOwnDevice) {
  devices("ecc 0000:43:00.0 3\n");
  start();
  fs::remove(folder_.path() / "devices");
  devices("ecc 0000:43:00.0 5\nrows 0000:43:00.0 1 0\nthrottle 0000:43:00.0 64\npages 0000:43:00.0 0\n");
  EXPECT_THAT(examine({0, 1}),
              ElementsAre(IsEmpty(),
                          ElementsAre("0000:43:00.0: 2 uncorrected (double-bit) ECC errors since the workers started",
                                      "0000:43:00.0: remapped rows of memory wait for a reset (nvidia-smi --gpu-reset)",
                                      "0000:43:00.0: clocks are throttled: too hot (hardware)")));
}

TEST_F(GpuWatchTest, TellsThatADeviceIsLost) {
  devices("");
  start();
  devices("lost 0000:1b:00.0\n");
  EXPECT_THAT(examine({0}), ElementsAre(ElementsAre(HasSubstr("0000:1b:00.0: has fallen off the bus"))));
}

TEST_F(GpuWatchTest, TellsWhoElseHoldsItsMemory) {
  const std::string own = std::to_string(getpid());
  devices("memory 0000:1b:00.0 75161927680 85899345920\nprocess 0000:1b:00.0 " + own + " 64424509440\n");
  start();
  const GpuWatch::Lines lines = examine({0});
  ASSERT_EQ(lines[0].size(), 1u);
  EXPECT_THAT(lines[0][0], HasSubstr("70.0 of 80.0 GiB of memory are still in use: by pid " + own + " ("));
  EXPECT_THAT(lines[0][0], HasSubstr(") 60.0 GiB"));
}

TEST_F(GpuWatchTest, XidsComeFromTheKernelLogInItsWords) {
  say_in_kernel_log("4,1,1,-;NVRM: Xid (PCI:0000:1b:00): 31, before the job\n");
  devices("");
  start();
  say_in_kernel_log(
      "4,2,2,-;usb 1-1: a mouse\n4,3,3,-;NVRM: Xid (PCI:0000:1b:00): 79, pid=4711, name=python, GPU has "
      "fallen off the bus.\n");
  EXPECT_THAT(
      examine({0, 1}),
      ElementsAre(ElementsAre("0000:1b:00.0: Xid 79: pid=4711, name=python, GPU has fallen off the bus."), IsEmpty()));
}

TEST_F(GpuWatchTest, XidsComeAsEventsWhereTheKernelLogIsNotOurs) {
  devices("");
  start();
  devices("xid 0000:43:00.0 48\nxid 0000:1b:00.0 999\n");
  EXPECT_THAT(examine({1, 0}), ElementsAre(ElementsAre("0000:43:00.0: Xid 48: double-bit ECC error"),
                                           ElementsAre("0000:1b:00.0: Xid 999")));
}

TEST_F(GpuWatchTest, AnAttemptIsNotToldTheXidsOfTheOneBefore) {
  say_in_kernel_log("");
  devices("");
  start();
  say_in_kernel_log("4,3,3,-;NVRM: Xid (PCI:0000:1b:00): 13, old\n");
  watch_->restart();
  io_.restart();
  io_.run();
  EXPECT_THAT(examine({0}), ElementsAre(IsEmpty()));
}

TEST_F(GpuWatchTest, FollowsTheDevicesThatWorkersSee) {
  config_.inherited.set("CUDA_VISIBLE_DEVICES", "1,0");
  devices("");
  start();
  devices("lost 0000:1b:00.0\n");
  EXPECT_THAT(examine({0, 1}), ElementsAre(IsEmpty(), ElementsAre(HasSubstr("0000:1b:00.0"))));
}

TEST_F(GpuWatchTest, ADriverThatHangsIsNotWaitedFor) {
  options_.patience = std::chrono::milliseconds(1);
  devices("");
  start();
  devices("hang\n");
  EXPECT_THAT(examine({0, 1}), ElementsAre(ElementsAre("the NVIDIA driver does not answer"),
                                           ElementsAre("the NVIDIA driver does not answer")));
}

TEST_F(GpuWatchTest, ALibraryThatIsStillBeingLoadedIsNotWaitedFor) {
  devices("hang\n");
  watch_ = GpuWatch::start(io_, config_, options_);
  GpuWatch::Lines told;
  watch_->examine({0}, [&](const GpuWatch::Lines& lines) { told = lines; });
  EXPECT_THAT(told, ElementsAre(IsEmpty()));
}

// How the wait for the memory of an attempt went.
struct Wait {
  bool over = false;
  std::vector<std::string> lines;
};

class GpuReleaseTest : public GpuWatchTest {
 protected:
  void begin(Wait& wait, const std::vector<int>& dead) {
    io_.restart();
    watch_->await_release(
        dead, [&wait](const std::string& line) { wait.lines.push_back(line); }, [&wait] { wait.over = true; });
  }
  void finish(Wait& wait) {
    while (!wait.over && io_.run_one() > 0) {
    }
    EXPECT_TRUE(wait.over);
  }
  // So that a look between two facts finds the old ones or the new ones.
  void replace_devices(const std::string& facts) const {
    fs::rename(folder_.path() / "devices", folder_.path() / "devices.old");
    devices(facts);
  }
};

TEST_F(GpuReleaseTest, ADeadWorkersMemoryIsWaitedFor) {
  devices("");
  start();
  replace_devices("process 0000:43:00.0 4711 64424509440\n");
  Wait wait;
  begin(wait, {4711});
  for (int handlers = 0; handlers < 4; ++handlers) io_.run_one();  // two looks, and the time between them
  EXPECT_FALSE(wait.over);
  replace_devices("");
  finish(wait);
  EXPECT_THAT(wait.lines, IsEmpty());
}

TEST_F(GpuReleaseTest, NobodyElseIsWaitedFor) {
  devices("process 0000:43:00.0 " + std::to_string(getpid()) + " 64424509440\n");
  start();
  Wait wait;
  begin(wait, {4711});
  finish(wait);
  EXPECT_THAT(wait.lines, IsEmpty());
}

TEST_F(GpuReleaseTest, TheWaitEndsAndSaysWhoHoldsTheMemory) {
  options_.release = std::chrono::milliseconds(1);
  devices("process 0000:43:00.0 4711 64424509440\n");
  start();
  Wait wait;
  begin(wait, {4711});
  finish(wait);
  EXPECT_THAT(wait.lines, ElementsAre(HasSubstr("still held after 1 ms (0000:43:00.0: 60.0 GiB by pid 4711")));
}

TEST_F(GpuReleaseTest, ADriverThatHangsKeepsNoAttemptFromStarting) {
  options_.patience = std::chrono::milliseconds(1);
  devices("");
  start();
  devices("hang\n");
  Wait wait;
  begin(wait, {4711});
  finish(wait);
  EXPECT_THAT(wait.lines, ElementsAre(HasSubstr("the NVIDIA driver has not told within 1 ms")));
}

TEST_F(GpuReleaseTest, WithoutTheLibraryNothingIsWaitedFor) {
  options_.library = folder_.path() / "absent.so";
  start();
  Wait wait;
  begin(wait, {4711});
  finish(wait);
  EXPECT_THAT(wait.lines, IsEmpty());
}

TEST(KernelLog, HasTheNewsAlone) {
  const testing::TemporaryDirectory folder;
  std::ofstream(folder.path() / "kmsg") << "old\n";
  KernelLog log(folder.path() / "kmsg");
  EXPECT_TRUE(log.readable());
  EXPECT_THAT(log.news(), IsEmpty());
  std::ofstream(folder.path() / "kmsg", std::ios::app) << "one\ntwo\n";
  EXPECT_THAT(log.news(), ElementsAre("one", "two"));
  EXPECT_THAT(log.news(), IsEmpty());
  KernelLog none(folder.path() / "absent");
  EXPECT_FALSE(none.readable());
  EXPECT_THAT(none.news(), IsEmpty());
}

}  // namespace
}  // namespace ferrun
