// What ferrun doctor makes of the facts that it is given, and how it shows its findings.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/doctor/finding.h"
#include "launcher/doctor/judgement.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using enum Finding::Status;
using ::testing::AllOf;
using ::testing::Field;
using ::testing::HasSubstr;

auto is(Finding::Status status, const std::string& part) {
  return AllOf(Field(&Finding::status, status), Field(&Finding::text, HasSubstr(part)));
}

TEST(Doctor, JudgesTheName) {
  EXPECT_THAT(judge_name({"node0", {"10.0.0.1", "fd00::1"}, "", 3ms}), is(kOk, "node0 is 10.0.0.1, fd00::1"));
  EXPECT_THAT(judge_name({"node0", {"10.0.0.1"}, "", 2500ms}), is(kWarn, "the look-up took 2.50 s"));
  EXPECT_THAT(judge_name({"node0", {}, "Name or service not known", 3ms}), is(kFail, "node0: Name or service not"));
}

TEST(Doctor, JudgesTheWayToEveryAddress) {
  EXPECT_THAT(judge_route({"10.0.0.1", true, "10.0.0.1", "eth0", ""}), is(kOk, "10.0.0.1 is this machine's, on eth0"));
  EXPECT_THAT(judge_route({"10.0.0.1", false, "10.0.0.5", "eth0", ""}), is(kOk, "from 10.0.0.5 through eth0"));
  EXPECT_THAT(judge_route({"10.0.0.1", false, "", "", "Network is unreachable"}), is(kFail, "no way to 10.0.0.1"));
}

TEST(Doctor, JudgesTheAgentsPort) {
  CoordinatorFacts facts;
  facts.endpoint = {"node0", 29400};
  facts.election = "node0 (10.0.0.1) is another node";
  EXPECT_THAT(judge_coordinator(facts), is(kWarn, "for want of an address"));
  facts.tried = "node0 (10.0.0.1) refused the connection";
  EXPECT_THAT(judge_coordinator(facts), is(kWarn, "open TCP port 29400"));
  facts.refused_by_name = true;
  facts.tried = "node0 (10.0.0.1): it has another job token";
  EXPECT_THAT(judge_coordinator(facts), is(kFail, "another job token"));
  facts.where = "node0 (10.0.0.1), port 29400";
  EXPECT_THAT(judge_coordinator(facts), is(kOk, "answers at node0 (10.0.0.1)"));
}

TEST(Doctor, JudgesTheAgentsPortWhereTheCoordinatorIsToBe) {
  CoordinatorFacts facts;
  facts.endpoint = {"node0", 29400};
  facts.hosts = true;
  facts.port_free = true;
  EXPECT_THAT(judge_coordinator(facts), is(kOk, "port 29400 is free"));
  facts.port_free = false;
  facts.port_problem = "10.0.0.1:29400 is in use by another process (pid 7 (nginx))";
  EXPECT_THAT(judge_coordinator(facts), is(kFail, "nginx"));
}

TEST(Doctor, JudgesTheStoresPort) {
  EXPECT_THAT(judge_store({}), is(kOk, "a free port is chosen"));
  EXPECT_THAT(judge_store({29500, true, {}, 0, ""}), is(kOk, "shares port 29500"));
  EXPECT_THAT(judge_store({29500, false, {}, 0, ""}), is(kOk, "is free"));
  EXPECT_THAT(judge_store({29500, false, {}, 0, "Address already in use"}), is(kFail, "already in use"));
  EXPECT_THAT(judge_store({0, false, {30000, 30010}, 5, ""}), is(kOk, "5 ports of --port-range=30000-30010"));
  EXPECT_THAT(judge_store({0, false, {30000, 30010}, 0, ""}), is(kFail, "no port of"));
}

TEST(Doctor, JudgesThePortsOfTheWorkers) {
  EXPECT_THAT(judge_worker_ports(PortRange{32768, 60999}), is(kOk, "32768-60999"));
  EXPECT_THAT(judge_worker_ports(PortRange{40000, 40100}), is(kWarn, "40000-40100"));
  EXPECT_THAT(judge_worker_ports(std::nullopt), is(kWarn, "does not tell"));
}

TEST(Doctor, JudgesTheClock) {
  EXPECT_THAT(judge_clock({-12ms, 1ms, {}}), is(kOk, "12.0 ms behind the coordinator's, give or take 1.0 ms"));
  EXPECT_THAT(judge_clock({40s, 1ms, {}}), is(kWarn, "40.00 s ahead of"));
  EXPECT_THAT(judge_clock({{}, {}, true}), is(kOk, "synchronised"));
  EXPECT_THAT(judge_clock({{}, {}, false}), is(kWarn, "not synchronised"));
  EXPECT_THAT(judge_clock({}), is(kOk, "no coordinator to compare with"));
}

TEST(Doctor, JudgesLimits) {
  EXPECT_THAT(judge_files({1024, 4096, 800, 8}), is(kOk, "8 workers need about 800 open files; the limit is 4096"));
  EXPECT_THAT(judge_files({256, 4096, 800, 8}), is(kOk, "towards which ferrun raises 256"));
  EXPECT_THAT(judge_files({256, 512, 800, 8}), is(kFail, "raise it"));
  EXPECT_THAT(judge_shared_memory(uint64_t{64} << 20), is(kWarn, "64 MiB"));
  EXPECT_THAT(judge_shared_memory(uint64_t{8} << 30), is(kOk, "8192 MiB"));
  EXPECT_THAT(judge_shared_memory(std::nullopt), is(kWarn, "no /dev/shm"));
}

TEST(Doctor, JudgesTheSecret) {
  EXPECT_THAT(judge_token({true, "FERRUN_TOKEN", "", false, false}), is(kOk, "FERRUN_TOKEN"));
  EXPECT_THAT(judge_token({true, "--token-file=/t", "", true, false}), is(kWarn, "chmod 600"));
  EXPECT_THAT(judge_token({false, "", "", false, true}), is(kOk, "only this machine"));
  EXPECT_THAT(judge_token({false, "", "", false, false}), is(kWarn, "whoever reaches the endpoint"));
  EXPECT_THAT(judge_token({false, "", "--token-file=/t: Permission denied", false, false}), is(kFail, "Permission"));
  EXPECT_THAT(judge_token({false, "", "", false, false, true}), is(kOk, "by munge"));
}

TEST(Findings, AreOneAlignedLineEach) {
  EXPECT_EQ(findings_text({{kOk, "name", "fine"}, {kFail, "memory", "gone"}, {kWarn, "token", "\x1b[31mred"}}),
            "ok    name    fine\n"
            "FAIL  memory  gone\n"
            "warn  token   red\n");
}

TEST(Findings, AreOneLineOfJson) {
  EXPECT_EQ(findings_json({{kFail, "name", "\xff"}}),
            "{\"failed\":true,\"findings\":[{\"check\":\"name\",\"status\":\"FAIL\",\"text\":\"\xEF\xBF\xBD\"}]}\n");
  EXPECT_EQ(findings_json({}), "{\"failed\":false,\"findings\":[]}\n");
}

TEST(Findings, FailWhenOneDoes) {
  EXPECT_FALSE(any_failed({{kOk, "", ""}, {kWarn, "", ""}}));
  EXPECT_TRUE(any_failed({{kOk, "", ""}, {kFail, "", ""}}));
}

}  // namespace
}  // namespace ferrun
