// What a person at the terminal reads of a job with several nodes: refusals by name, explained waiting, ferrun status,
// ferrun doctor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <tuple>

#include "tests/e2e/nodes_run.h"

namespace ferrun::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class NodesWords : public Nodes {
 protected:
  // All agents of a job run the same.
  const Words script_ = shell("touch $DIR/up; sleep 3600");

  std::unique_ptr<Program> first_agent(const std::string& nnodes, Words options = {}) const {
    options.push_back("--verbose");
    auto started = agent(nnodes, options, script_);
    EXPECT_TRUE(started->wait_for_output("this agent coordinates the job")) << started->err();
    return started;
  }
  std::pair<int, std::string> run(const Words& words, const Words& variables = {}) const {
    const auto program = ferrun(words, variables);
    const int code = program->wait().shell_code();
    return {code, program->out() + program->err()};
  }
  std::pair<int, std::string> run_agent(const std::string& nnodes, const Words& options) const {
    const auto program = agent(nnodes, options, script_);
    const int code = program->wait().shell_code();
    return {code, program->err()};
  }
};

TEST_F(NodesWords, AWrongTokenIsRefusedByName) {
  std::ofstream(file("secret")) << "the right one of all\n";
  const auto first = first_agent("2", {"--token-file=" + file("secret")});
  std::ofstream(file("other")) << "the wrong one of all\n";
  const auto [code, text] = run_agent("2", {"--token-file=" + file("other")});
  EXPECT_EQ(code, 2);
  EXPECT_THAT(text, HasSubstr("token"));
  const auto [code_without, text_without] = run_agent("2", {});
  EXPECT_EQ(code_without, 2);
  EXPECT_THAT(text_without, HasSubstr("token"));
}

TEST_F(NodesWords, TheRightTokenIsAsGoodAsNone) {
  std::ofstream(file("secret")) << "the right one of all\n";
  const Words no_secret = shell("[ -z \"$FERRUN_TOKEN\" ]");
  const auto first = agent("2", {"--token-file=" + file("secret")}, no_secret);
  const auto second = agent("2", {}, no_secret, {"FERRUN_TOKEN=the right one of all"});
  EXPECT_EQ(second->wait(), ExitStatus::exited(0)) << second->err();
  EXPECT_EQ(first->wait(), ExitStatus::exited(0)) << first->err();
}

TEST_F(NodesWords, AnotherJobIsRefusedByName) {
  const auto first = first_agent("2", {"--rdzv-id=one"});
  const auto [code, text] = run_agent("2", {"--rdzv-id=two"});
  EXPECT_EQ(code, 2);
  EXPECT_THAT(text, AllOf(HasSubstr("one"), HasSubstr("two")));
}

TEST_F(NodesWords, OtherTermsAreRefusedWithBothValues) {
  const auto first = first_agent("2", {"--max-restarts=3"});
  const auto [code, text] = run_agent("2", {"--max-restarts=0"});
  EXPECT_EQ(code, 2);
  EXPECT_THAT(text, AllOf(HasSubstr("--max-restarts is"), HasSubstr("3"), HasSubstr("0")));
  const auto [code_size, text_size] = run_agent("3", {"--max-restarts=3"});
  EXPECT_EQ(code_size, 2);
  EXPECT_THAT(text_size, HasSubstr("--nnodes"));
}

TEST_F(NodesWords, NodesMayDifferInTheirArgumentsAndAnotherProgramIsWarnedOf) {
  const auto report = [](const std::string& scratch) {
    return Words{"sh", "-c", "echo role $ROLE_NAME scratch $2", "x", "--scratch", scratch};
  };
  const auto first = agent("3", {"--role=reader"}, report("/local/node0"));
  const auto second = agent("3", {"--role=trainer"}, report("/local/node1"));
  const auto third = agent("3", {"--no-python"}, {"true"});
  EXPECT_EQ(first->wait(), ExitStatus::exited(0)) << first->err();
  EXPECT_EQ(second->wait(), ExitStatus::exited(0)) << second->err();
  EXPECT_EQ(third->wait(), ExitStatus::exited(0)) << third->err();
  EXPECT_THAT(first->out(), HasSubstr("role reader scratch /local/node0"));
  EXPECT_THAT(second->out(), HasSubstr("role trainer scratch /local/node1"));
  const std::string said = first->err() + second->err() + third->err();
  EXPECT_THAT(said, AllOf(HasSubstr("the program is "), Not(HasSubstr("the rest of its command line"))));
}

TEST_F(NodesWords, ATakenRankIsRefusedWhileItsHolderAnswers) {
  const Words options = {"--node-rank=1", "--rdzv-conf=join_timeout=1"};
  const auto first = first_agent("2", {"--node-rank=1", "--rdzv-conf=join_timeout=600"});
  const auto [code, text] = run_agent("2", options);
  EXPECT_EQ(code, 75);
  EXPECT_THAT(text, HasSubstr("rank 1"));
}

TEST_F(NodesWords, AnUnknownNameIsExplained) {
  const auto [code, text] =
      run({"--nnodes=2", "--rdzv-endpoint=no-such-host.invalid:29400", "--rdzv-conf=join_timeout=1", "true"});
  EXPECT_EQ(code, 75);
  EXPECT_THAT(text, HasSubstr("no-such-host.invalid"));
  EXPECT_THAT(text, HasSubstr("became part of no group within 1 s"));
}

TEST_F(NodesWords, TooFewNodesAreExplained) {
  const auto [code, text] = run_agent("3", {"--rdzv-conf=join_timeout=1"});
  EXPECT_EQ(code, 75);
  EXPECT_THAT(text, HasSubstr("waiting for 2 of 3 nodes"));
}

TEST_F(NodesWords, AnInterfaceThatIsNotThereIsNamed) {
  const auto [code, text] = run_agent("2", {"--iface=nowhere0"});
  EXPECT_EQ(code, 2);
  EXPECT_THAT(text, AllOf(HasSubstr("--iface=nowhere0"), HasSubstr("lo")));
}

TEST_F(NodesWords, StatusTellsOfTheJob) {
  const auto first = first_agent("2", {"--rdzv-id=run7"});
  const auto second = agent("2", {"--rdzv-id=run7"}, script_);
  ASSERT_TRUE(eventually_exists("up"));
  // One worker may be up before the agent that answers has started its own. Without a name where no other program has a
  // job here: those of other tests end, those beside the suite may not.
  int code = 0;
  std::string text;
  ASSERT_TRUE(eventually([&] {
    std::tie(code, text) = run({"status"});
    if (text.find("several jobs run here") != std::string::npos) std::tie(code, text) = run({"status", "--job=run7"});
    return text.find("round 1, running") != std::string::npos;
  }));
  EXPECT_EQ(code, 0);
  EXPECT_THAT(text,
              AllOf(StartsWith("job run7\n"), HasSubstr("round 1, running"), HasSubstr("2 nodes of 2, 2 workers")));
  const auto [json_code, json] = run({"status", "--json", "--job=run7"});
  EXPECT_EQ(json_code, 0);
  EXPECT_THAT(json, AllOf(StartsWith("{\"job\":\"run7\",\"status\":{"), HasSubstr("\"phase\":\"running\"")));
  const auto [other_code, other] = run({"status", "--job=run8"});
  EXPECT_EQ(other_code, 1);
  EXPECT_THAT(other, AllOf(HasSubstr("no job 'run8' runs here; there is "), HasSubstr("run7")));
}

TEST_F(NodesWords, StatusTellsOfAJobWithoutACoordinatorToo) {
  const std::string name = "lonely" + std::to_string(port);  // jobs of other tests may run beside this one
  const auto lonely = agent("2:3", {"--rdzv-conf=is_host=0", "--max-restarts=5", "--rdzv-id=" + name}, shell("true"));
  const std::vector<std::string> status = {"status", "--job=" + name};
  ASSERT_TRUE(eventually([&] { return run(status).first == 0; }));
  EXPECT_THAT(run(status).second,
              AllOf(HasSubstr("seeking"), HasSubstr("1 node of 2 to 3"), HasSubstr("0 of 5 restarts spent")));
}

TEST_F(NodesWords, StatusSaysThatThereIsNoJob) {
  // Jobs of other tests may run beside this one.
  const auto [code, text] = run({"status", "--job=nobodys"});
  EXPECT_EQ(code, 1);
  EXPECT_THAT(text,
              ::testing::AnyOf(HasSubstr("no job runs on this machine"), HasSubstr("no job 'nobodys' runs here")));
}

TEST_F(NodesWords, NothingIsLeftInTheRuntimeFolder) {
  const auto only = agent("1:2", {"--rdzv-conf=last_call_timeout=0.1"}, shell("ls $XDG_RUNTIME_DIR/ferrun"));
  EXPECT_EQ(only->wait(), ExitStatus::exited(0)) << only->err();
  EXPECT_THAT(only->out(),
              AllOf(HasSubstr("agent-"), HasSubstr("coordinator-" + std::to_string(port) + "-none.state")));
  EXPECT_TRUE(std::filesystem::is_empty(file("ferrun")));
}

// Where --nnodes was forgotten, say. The workers would try it for minutes without a word.
TEST_F(NodesWords, AMasterAddressThatLeadsNowhereIsToldWhileTheWorkersTryIt) {
  const auto program = ferrun({"--master-addr=no-such-host.invalid", "sleep", "3600"});
  EXPECT_TRUE(program->wait_for_output(
      "ferrun: the workers are sent to no-such-host.invalid (--master-addr or --local-addr), which has no address: "))
      << program->err();
}

TEST_F(NodesWords, DoctorLooksAtThisMachineAloneWhereNoOtherIsNamed) {
  const auto [code, text] = run({"doctor", "--nproc-per-node=3"});
  EXPECT_EQ(code, 0) << text;
  EXPECT_THAT(text, AllOf(HasSubstr("ok    route   127.0.0.1 is this machine's"), HasSubstr("3 workers need about"),
                          HasSubstr("this machine alone"), Not(HasSubstr("coordinator")), Not(HasSubstr("clock"))));
}

TEST_F(NodesWords, DoctorFindsAFreePort) {
  const auto [code, text] = run({"doctor", "--rdzv-endpoint=" + endpoint()});
  EXPECT_EQ(code, 0) << text;
  EXPECT_THAT(text, AllOf(HasSubstr("ok    name "), HasSubstr("this machine coordinates the job"),
                          HasSubstr("only this machine reaches the endpoint")));
}

TEST_F(NodesWords, DoctorAsksTheCoordinator) {
  const auto first = first_agent("2");
  const auto [code, text] = run({"doctor", "--rdzv-endpoint=" + endpoint()});
  EXPECT_EQ(code, 0) << text;
  EXPECT_THAT(text, AllOf(HasSubstr("the coordinator answers at 127.0.0.1"), HasSubstr("the coordinator's, give or")));
  const auto [wrong_code, wrong] =
      run({"doctor", "--rdzv-endpoint=" + endpoint(), "--json"}, {"FERRUN_TOKEN=the wrong one of all"});
  EXPECT_EQ(wrong_code, 1);
  EXPECT_THAT(wrong, AllOf(StartsWith("{\"failed\":true,"), HasSubstr("token")));
}

TEST_F(NodesWords, DoctorFailsForAnUnknownName) {
  const auto [code, text] = run({"doctor", "--rdzv-endpoint=no-such-host.invalid"});
  EXPECT_EQ(code, 1);
  EXPECT_THAT(text, HasSubstr("FAIL  name "));
}

TEST_F(NodesWords, AVerbIsAWordOnlyInTheFirstPlace) {
  std::ofstream(file("status")) << "#!/bin/sh\necho the program\n";
  std::filesystem::permissions(file("status"), std::filesystem::perms::owner_all);
  const std::string path = "PATH=" + directory.path().string() + ":/usr/bin:/bin";
  EXPECT_EQ(run({"--", "status"}, {path}), std::pair(0, std::string("the program\n")));
  EXPECT_EQ(run({"--nproc-per-node=1", "status"}, {path}), std::pair(0, std::string("the program\n")));
  EXPECT_EQ(run({file("status")}), std::pair(0, std::string("the program\n")));
}

TEST_F(NodesWords, ACoordinatorSaysWhatItNeedsAndWhyItCannotRun) {
  EXPECT_THAT(run({"coordinator"}).second, HasSubstr("ferrun coordinator needs --nnodes"));
  const auto first = first_agent("2");
  const auto [code, text] = run({"coordinator", "--nnodes=2", "--rdzv-endpoint=" + endpoint(), "--state-file=s"});
  EXPECT_EQ(code, 75);
  EXPECT_THAT(text, AllOf(HasSubstr("is in use"), HasSubstr("pid ")));
}

}  // namespace
}  // namespace ferrun::testing
