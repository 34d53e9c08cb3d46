#include "launcher/report/gpu_health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/report/failure_report.h"

namespace ferrun {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(ParseXid, ReadsTheDriversLinesOfSeveralVersions) {
  EXPECT_EQ(
      parse_xid("4,1234,5678,-;NVRM: Xid (PCI:0000:41:00): 79, pid=4711, name=python, GPU has fallen off the bus."),
      (Xid{"0000:41:00.0", 79, "pid=4711, name=python, GPU has fallen off the bus."}));
  EXPECT_EQ(parse_xid("NVRM: Xid (PCI:0000:c1:00): 48, pid='<unknown>', name=<unknown>, DBE"),
            (Xid{"0000:c1:00.0", 48, "pid='<unknown>', name=<unknown>, DBE"}));
  EXPECT_EQ(parse_xid("[ 12.3] NVRM: Xid (PCI:0009:01:00.0): 13"), (Xid{"0009:01:00.0", 13, ""}));
}

TEST(ParseXid, PassesOverEverythingElse) {
  for (const char* line : {"", "NVRM: GPU at PCI:0000:41:00: GPU-1", "NVRM: Xid (PCI:0000:41:00",
                           "NVRM: Xid (PCI:a): x", "usb 1-1: new device"}) {
    EXPECT_EQ(parse_xid(line), std::nullopt) << line;
  }
}

TEST(GpuLines, ManyXidsAreCounted) {
  GpuHealth now;
  now.pci_address = "0000:41:00.0";
  std::vector<Xid> xids = {{"0000:42:00.0", 79}};
  for (int number = 1; number <= 9; ++number) {
    xids.push_back({"0000:41:00.0", number});
    xids.push_back({"0000:41:00.0", number});  // said twice, told once
  }
  const std::vector<std::string> lines = gpu_lines(std::nullopt, now, xids);
  EXPECT_THAT(lines, SizeIs(5));
  EXPECT_EQ(lines.back(), "0000:41:00.0: 5 more Xids");
}

TEST(GpuLines, WithoutAnEarlierLookErrorsHaveNoTime) {
  GpuHealth now;
  now.pci_address = "0000:41:00.0";
  now.double_bit_errors = 2;
  EXPECT_THAT(gpu_lines(std::nullopt, now, {}), ElementsAre(HasSubstr("since its driver was loaded")));
  EXPECT_THAT(gpu_lines(now, now, {}), SizeIs(0));
}

TEST(GpuLines, StandInTheReportOfTheWorker) {
  WorkerEvidence evidence;
  evidence.device = {"0000:41:00.0: Xid 79"};
  EXPECT_THAT(evidence_lines(evidence, {}, false), Contains("  device: 0000:41:00.0: Xid 79"));
}

}  // namespace
}  // namespace ferrun
