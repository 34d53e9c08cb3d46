// ferrun-rendezvous(7), and the failure policy of ferrun(1), row by row: which tests pin it, and that times in it are
// those of the code. Whoever changes a row finds its tests here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "launcher/cli/flag_table.h"
#include "launcher/config/rendezvous_config.h"
#include "rendezvous/coordinator/coordinator_machine.h"
#include "rendezvous/wire/session.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAreArray;
using Tests = std::vector<std::string>;

struct ManualRow {
  std::string title;  // as the page has it
  Tests tests;        // "Suite.Name"
};
using Rows = std::vector<ManualRow>;

std::string text_of(const fs::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

std::string in_words(Duration duration) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  return milliseconds % 1000 == 0 ? std::to_string(milliseconds / 1000) + " s" : std::to_string(milliseconds) + " ms";
}

std::string option(const std::string& name) {
  for (const Flag& flag : flag_table()) {
    if (flag.name == name) return "--" + name + " (" + std::string(flag.fallback) + " s)";
  }
  return "no option --" + name;
}

Rows guarantees() {
  return {{"1.", {"Seeds.KeepEveryInvariant", "Stories.ACutNodeStopsItsWorkersAndComesBack"}},
          {"2.",
           {"SentinelTest.KilledAgentLeavesNothing", "Kill.OfTheAgentLeavesNothing",
            "LeaseTest.AKilledAgentsConnectionEndsAfterItsWorkers"}},
          {"3.", {"Seeds.KeepEveryInvariant", "NodesTest.ThreeAgentsRunOneJob"}},
          {"4.", {"Seeds.KeepEveryInvariant", "NodesTest.AFailedWorkerRestartsAllNodesWithOneCount"}}};
}

Rows timing() {
  const RendezvousConfig config;
  const CoordinatorConfig& coordinator = config.coordinator;
  const auto row = [](const std::string& name, Duration time, Tests tests) {
    return ManualRow{name + " (" + in_words(time) + ")", std::move(tests)};
  };
  return {row("keep_alive_interval", coordinator.heartbeat_interval,
              {"MemberLease.RunsFromTheSendingOfTheLastAnsweredHeartbeat"}),
          {"keep_alive_max_attempt (" + std::to_string(config.keep_alive_attempts) + ")",
           {"CoordinatorLoss.StopsTheOthersAtOnceAndWaitsForTheLeaseOfASilentNode",
            "NodesLost.AStoppedNodeIsLeftBehindWhenItsLeaseIsOverAndComesBackLater"}},
          row("join_timeout", config.member.join_timeout,
              {"NodesWords.TooFewNodesAreExplained", "MemberSession.ASpareStaysForAsLongAsARoundRunsWithoutIt"}),
          row("last_call_timeout", coordinator.last_call,
              {"CoordinatorElastic.HoldsALastCallAndStartsAtItsEnd",
               "CoordinatorElastic.EndsTheLastCallWhenAllHaveJoined"}),
          row("close_timeout", coordinator.close_timeout, {"CoordinatorClose.WaitsForAcknowledgementsOnlySoLong"}),
          {option("coordinator-timeout"),
           {"NodesLost.WithoutTheirCoordinatorAllStopAndEndAfterTheTimeout",
            "NodesFailures.WithoutACoordinatorOfItsOwnTheLeasesEndAndTheJobToo"}},
          {option("min-uptime"), {"NodesFailures.ALossSoonAfterTheStartSpendsARestart"}},
          {option("scale-interval"), {"CoordinatorElastic.LetsANewcomerJoinARunningRoundAtMostOnceInAWhile"}},
          {option("failure-grace"),
           {"NodesFailures.WorkersOfAllNodesAreAskedToEndAndKilledAfterTheGrace",
            "NodesFailures.WorkersThatWaitForALostNodeAreKilledAfterTheGraceOfAFailure"}},
          {option("shutdown-timeout"),
           {"NodeMachine.GivesEveryStopItsGrace", "NodeMachine.KillsWhenTheLeaseEndsWhateverElseHappens"}},
          row("The sentinel's kill", coordinator.stop_bound,
              {"CoordinatorLoss.StopsTheOthersAtOnceAndWaitsForTheLeaseOfASilentNode"}),
          row("A broken connection is resumed", coordinator.reset_grace,
              {"CoordinatorLoss.LetsANodeResumeABrokenConnectionWithoutDisturbingAnybody",
               "CoordinatorLoss.GivesABrokenConnectionUpAfterItsGrace"}),
          row("The root cause", coordinator.cause_wait, {"CoordinatorRound.DoesNotWaitLongForTheRootCause"}),
          row("Last words", kLastWords,
              {"GroupMachine.TheOthersOfAVictimMayEndByThemselvesForAWhile",
               "GroupMachine.TheWaitForWordsLeavesHalfOfTheGraceToThoseThatAreAsked"}),
          row("Goodbyes", coordinator.goodbye_settle, {"CoordinatorGoodbye.FormsNothingForAMomentAfterASignal"}),
          row("The preparation of a round", coordinator.prepare_timeout,
              {"CoordinatorDoor.NamesTheNodeThatDidNotAnswerInTime"}),
          row("A handshake", kHandshakeTime, {"CoordinatorServerTest.EndsAHandshakeThatTakesTooLong"}),
          {"A node that comes and goes (" + std::to_string(coordinator.losses_to_bar) + " times in " +
               std::to_string(coordinator.loss_window / std::chrono::minutes(1)) + " min)",
           {"CoordinatorLoss.BarsANodeThatIsLostAgainAndAgain",
            "FlapPolicy.DoublesTheBarUntilTheNodeHasBeenSteadyForAWindow"}}};
}

Rows failures() {
  return {
      {"A worker fails",
       {"NodesFailures.WorkersOfAllNodesAreAskedToEndAndKilledAfterTheGrace",
        "NodesTest.AFailedWorkerRestartsAllNodesWithOneCount", "NodesTest.TheRootCauseIsTheLastThingOnEveryScreen"}},
      {"A worker ends with 0 while others run",
       {"NodesFailures.NobodyJoinsOnceAWorkerHasSucceededAndLateNodesEndWellWithTheJob",
        "NodesFailures.AFinishedNodeStaysAndRunsAgainWhenTheRoundFailsElsewhere",
        "CoordinatorLoss.CountsANodeAsDoneThatIsLostAfterItFinished"}},
      {"Workers fail because their connections to a node broke",
       {"CoordinatorLoss.WaitsForASilentNodeBeforeItBlamesThoseWhoLostTheirConnections",
        "CoordinatorLoss.TakesWhatASlowNodeTellsForTheCauseOfConnectionsThatOthersLost"}},
      {"A worker that fails takes so long to end that others, which lost their connections to it, end first",
       {"RootCause.OfSeveralNodesIsTheRankThatEndsAfterItsVictim",
        "CoordinatorRound.HearsTheLastWordsOfOthersBeforeItBlamesAVictim"}},
      {"An agent is killed",
       {"NodesLost.SurvivorsOfAnElasticJobGoOnAtOnce", "NodesTest.ALostNodesWorkersAreReplacedByThoseOfASpare",
        "NodesFailures.AFixedJobWaitsForAReplacementAndSpendsNoRestart",
        "NodesFailures.AJobThatIsTooSmallEndsWhenNobodyComesWithinTheTime",
        "NodesFailures.ALossSoonAfterTheStartSpendsARestart", "NodesLost.ADeadSentinelEndsItsNodeAlone"}},
      {"A node falls silent: power, a crash, a cable, a partition",
       {"Stories.ACutNodeStopsItsWorkersAndComesBack", "Stories.ANodeThatHearsNothingOrIsNotHeardIsLostAlike"}},
      {"An agent is stopped (SIGSTOP) or its machine suspended",
       {"NodesLost.AStoppedNodeIsLeftBehindWhenItsLeaseIsOverAndComesBackLater",
        "Stories.AStoppedNodeLosesItsWorkersAtTheEndOfItsLease", "LeaseTest.ASuspendedJobDoesNotGoOnAfterIt"}},
      {"A connection breaks, both ends live",
       {"Stories.AResetConnectionDisturbsNobody", "CoordinatorLoss.GivesABrokenConnectionUpAfterItsGrace"}},
      {"The coordinator's agent is killed",
       {"NodesLost.WithoutTheirCoordinatorAllStopAndEndAfterTheTimeout",
        "NodesLost.ACoordinatingAgentThatComesBackFindsItsJobAgain",
        "NodesFailures.ACoordinatingAgentThatComesBackKnowsTheRestartsThatWereSpent"}},
      {"A coordinator of its own is killed",
       {"NodesLost.WorkersNeverNoticeThatACoordinatorOfItsOwnWasStartedAnew",
        "NodesFailures.WithoutACoordinatorOfItsOwnTheLeasesEndAndTheJobToo"}},
      {"All agents are killed, and the job is launched anew",
       {"NodesState.ALaunchInheritsNothingOfOneThatIsDead", "CoordinatorTakeover.BeginsANewLaunchWhenNobodyComesBack"}},
      {"Two coordinators have one state file",
       {"NodesState.ASecondCoordinatorIsKeptOffTheStateFileByName",
        "NodesState.AStateFileOfAnotherJobIsRefusedByName"}},
      {"SIGTERM to one agent", {"NodesLost.AnAgentThatLeavesOnASignalCostsNoRestart"}},
      {"SIGTERM to the coordinator's agent alone",
       {"NodesFailures.TermToTheCoordinatorsAgentAloneTakesTheCoordinatorAlong"}},
      {"SIGTERM to all agents (scancel, a deleted job)",
       {"NodesTest.TermToAllEndsTheJobAndFormsNothing", "NodesTest.TermToAllLetsEveryNodeSave",
        "Stories.TermToAllEndsTheJobAndFormsNothing"}},
      {"SIGTERM to a coordinator of its own", {"NodesLost.ACoordinatorOfItsOwnEndsTheJobOnASignal"}},
      {"A node joins while the job runs",
       {"NodesFailures.ANodeThatJoinsAnElasticJobStartsANewRound",
        "CoordinatorElastic.LetsANewcomerJoinARunningRoundAtMostOnceInAWhile",
        "CoordinatorElastic.KeepsNodesBeyondTheLargestNumberAsSpares"}},
      {"A node comes after the job has ended", {"NodesFailures.ANodeThatComesAfterTheEndOfTheJobEndsWithIt"}},
      {"A node is lost again and again",
       {"NodesFailures.ANodeThatIsLostAgainAndAgainIsKeptOut",
        "FlapPolicy.DoublesTheBarUntilTheNodeHasBeenSteadyForAWindow"}},
      {"A node cannot reach the round's store",
       {"Stories.ARoundWhoseStoreANodeCannotReachIsGivenUpAndTriedAgain",
        "CoordinatorDoor.PreparesAgainWithoutANodeThatCannotReachTheStoreThreeTimes"}},
      {"An agent has another token, another job, another size or budget",
       {"NodesWords.AWrongTokenIsRefusedByName", "NodesWords.AnotherJobIsRefusedByName",
        "NodesWords.OtherTermsAreRefusedWithBothValues"}},
      {"An agent has another program, other arguments, another role or number of workers",
       {"NodesWords.NodesMayDifferInTheirArgumentsAndAnotherProgramIsWarnedOf"}},
      {"A node's rank is taken", {"NodesWords.ATakenRankIsRefusedWhileItsHolderAnswers"}}};
}

Rows policy() {
  return {
      {"No rule fits, or one with spend",
       {"RestartPolicy.SpendsARestartWhereNoRuleFits", "SoloNode.SpendsTheWholeBudgetAndNoMore",
        "LauncherRestart.EndsWithTheLastAttemptsFailureWhenTheBudgetIsSpent",
        "CoordinatorRound.RestartsAllNodesWithOneCountAndNewRound"}},
      {"A rule with stop",
       {"LauncherRestart.StopsOnAnExitCodeThatARuleNames", "LauncherRestart.StopsOnASignalThatARuleNames",
        "SoloNode.EndsByARuleThoughRestartsAreLeft", "CoordinatorRound.EndsTheJobByARuleThoughRestartsAreLeft",
        "NodesFailures.TheCoordinatorsRulesDecideForAllNodes"}},
      {"A rule with restart",
       {"LauncherRestart.RestartsOnAnExitCodeThatCostsNothing", "SoloNode.RestartsByARuleWithoutSpendingARestart",
        "CoordinatorRound.RestartsByARuleWithoutSpendingARestart",
        "RestartDelays.KeepAttemptsThatCostNothingFromRacing"}},
      {"The program cannot be executed",
       {"SoloNode.AProgramThatCannotBeExecutedIsNotTriedAgain", "RestartPolicy.HasNoRuleForWhatIsNoWorkersEnd"}},
      {"A node is lost",
       {"NodesFailures.ALossSoonAfterTheStartSpendsARestart", "RestartPolicy.HasNoRuleForWhatIsNoWorkersEnd"}},
      {"A node leaves by a signal, or one joins", {"CoordinatorRound.DelaysNoRoundThatANodeCausesByComingOrGoing"}},
      {"Another failure before an attempt has run for --min-uptime",
       {"SoloNode.WaitsForTheRestartDelayWhichGrowsWhileAttemptsAreShort",
        "CoordinatorRound.HoldsTheNextAttemptBackForTheRestartDelay", "LauncherRestart.WaitsForTheRestartDelay",
        "RestartDelays.DoubleForEachFailureInARowUpToTheLongest"}},
      {"A signal while the next attempt is waited for", {"SoloNode.EndsAtOnceOnASignalWhileTheNextAttemptIsHeldBack"}}};
}

Rows exit_statuses() {
  return {
      {"0", {"NodesTest.ThreeAgentsRunOneJob"}},
      {"2", {"NodesWords.AnInterfaceThatIsNotThereIsNamed", "NodesWords.OtherTermsAreRefusedWithBothValues"}},
      {"75",
       {"NodesWords.TooFewNodesAreExplained", "NodesWords.AnUnknownNameIsExplained",
        "NodesLost.WithoutTheirCoordinatorAllStopAndEndAfterTheTimeout"}},
      {"128+n", {"NodesTest.TermToAllEndsTheJobAndFormsNothing"}},
      {"any other",
       {"NodesTest.TheRootCauseIsTheLastThingOnEveryScreen", "NodesTest.ASignalledWorkerGivesItsStatusToAll"}},
      {"To Slurm",
       {"NodesTest.TheRootCauseIsTheLastThingOnEveryScreen", "NodesTest.TermToAllEndsTheJobAndFormsNothing",
        "NodesLost.SurvivorsOfAnElasticJobGoOnAtOnce"}},
      {"To Kubernetes",
       {"NodesLost.AnAgentThatLeavesOnASignalCostsNoRestart", "NodesTest.TheRootCauseIsTheLastThingOnEveryScreen"}}};
}

// What the columns say of an engine is tested under that engine: Slurm, Hosts, Pods, Etcd.
Rows failures_under_an_engine() {
  return {
      {"Worker fails",
       {"Slurm.AWorkersFailureIsTheStepsStatusAndStartsAgainBefore",
        "Pods.ExitStatusAndTerminationMessageTellFailuresApart"}},
      {"Node lost",
       {"SlurmMeeting.ANodeThatIsDownIsOutAndAnotherJobsNodeComesIn",
        "PodsThatCome.APodThatComesBackElsewhereKeepsItsRank",
        "EtcdStories.ALostCoordinatorsHostIsHeldLostWhenItsWorkersCanRunNoMore"}},
      {"First node lost",
       {"NodesLost.WithoutTheirCoordinatorAllStopAndEndAfterTheTimeout",
        "PodsThatCome.ThePodWhereTheNodesMeetComesBackElsewhere", "EtcdJob.AKilledCoordinatorsNodeIsReplaced"}},
      {"Told to end",
       {"Slurm.WorkersSaveOnceWhenTheJobIsCancelledAndNothingStays", "Pods.TermIsOneOrderToSaveWithinTheGrace",
        "EtcdJob.ACoordinatorsNodeThatLeavesLetsTheOthersGoOn"}},
      {"Preempted",
       {"SlurmPreemption.ARequeuedJobsWorkersHaveTheGraceAndRunAgain",
        "SlurmPreemption.ACancelledJobsWorkersHaveTheGrace"}},
      {"Cut off",
       {"Stories.ACutNodeStopsItsWorkersAndComesBack", "EtcdStories.ACutCoordinatorIsTakenOverFromAndAllWorkersRunOn"}},
      {"Memory limit", {"Pods.AWorkerThatTheMemoryLimitKillsIsNamedWithTheLimit"}},
      {"Late name", {"NodesWords.AnUnknownNameIsExplained", "PodsThatCome.ANameThatAppearsLateIsWaitedForAndNamed"}}};
}

// A row begins with ".TP", or ".IP" and its tag; the title's fonts and escapes are left out.
std::string plain(std::string title) {
  title = std::regex_replace(title, std::regex(R"(^\.[BIR]+ )"), "");
  title = std::regex_replace(title, std::regex(R"(\\f[A-Z])"), "");
  title = std::regex_replace(title, std::regex(R"(\\-)"), "-");
  return std::regex_replace(title, std::regex(R"(128\+ n)"), "128+n");
}

std::vector<std::string> titles_in_page(const std::string& section, const std::string& name = "ferrun-rendezvous.7") {
  std::istringstream page(text_of(FERRUN_SOURCE_DIR "/man/" + name));
  std::vector<std::string> titles;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with(".SH ")) inside = line == ".SH " + section;
    if (!inside) continue;
    if (line.starts_with(".IP ")) titles.push_back(line.substr(4, line.find(' ', 4) - 4));
    if (line == ".TP" && std::getline(page, line)) titles.push_back(plain(line));
    // Of a table, whose other cells are blocks of text.
    if (line.ends_with("\tT{") && !line.starts_with("T}")) titles.push_back(line.substr(0, line.find('\t')));
  }
  return titles;
}

std::vector<std::string> titles_of(const Rows& rows) {
  std::vector<std::string> titles;
  for (const ManualRow& row : rows) titles.push_back(row.title);
  return titles;
}

TEST(RendezvousManual, HasExactlyTheRowsWithTests) {
  EXPECT_THAT(titles_in_page("GUARANTEES"), ElementsAreArray(titles_of(guarantees())));
  EXPECT_THAT(titles_in_page("TIMING"), ElementsAreArray(titles_of(timing())));
  EXPECT_THAT(titles_in_page("FAILURES"), ElementsAreArray(titles_of(failures())));
  EXPECT_THAT(titles_in_page("FAILURES UNDER AN ENGINE"), ElementsAreArray(titles_of(failures_under_an_engine())));
  EXPECT_THAT(titles_in_page("EXIT STATUS"), ElementsAreArray(titles_of(exit_statuses())));
}

TEST(FailurePolicyManual, HasExactlyTheRowsWithTests) {
  EXPECT_THAT(titles_in_page("FAILURE POLICY", "ferrun.1"), ElementsAreArray(titles_of(policy())));
}

TEST(RendezvousManual, NamesTestsThatExist) {
  std::string sources;
  for (const auto& file : fs::recursive_directory_iterator(FERRUN_SOURCE_DIR "/tests")) {
    if (file.path().extension() == ".cc") sources += text_of(file.path());
  }
  for (const Rows& rows : {guarantees(), timing(), failures(), policy(), failures_under_an_engine(), exit_statuses()}) {
    for (const ManualRow& row : rows) {
      EXPECT_FALSE(row.tests.empty()) << row.title;
      for (const std::string& test : row.tests) {
        const size_t dot = test.find('.');
        EXPECT_NE(sources.find("(" + test.substr(0, dot) + ", " + test.substr(dot + 1) + ")"), std::string::npos)
            << "the row '" << row.title << "' is said to be pinned by " << test << ", which is not there";
      }
    }
  }
}

}  // namespace
}  // namespace ferrun
