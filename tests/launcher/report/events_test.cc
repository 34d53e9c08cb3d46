// What programs are told of a job: ferrun's own lines, and torchrun's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "launcher/report/elastic_events.h"
#include "launcher/report/event_log.h"

namespace ferrun {
namespace {

using nlohmann::json;
using ::testing::SizeIs;

JobConfig two_workers() {
  JobConfig config;
  config.workers = 2;
  config.role = "default";
  config.run_id = "job";
  config.launch_id = "launch";
  config.hostname = "node7";
  config.max_restarts = 1;
  config.program.argv = {"/usr/bin/python3", "-u", "train.py"};
  config.events.backend = "static";
  return config;
}

BeginAttempt attempt(int number, int restarts) {
  Assignment place;
  place.round = {1, static_cast<uint64_t>(number) + 1};
  place.first_rank = 4;
  place.first_role_rank = 4;
  place.node_rank = 2;
  place.node_count = 3;
  place.world = place.role_world = 6;
  place.restart_count = restarts;
  return {number, place, {"10.0.0.1", 29500}, "launch"};
}

NodeDone done(JobEnd::Kind kind, int status, std::vector<std::string> report) {
  NodeDone end;
  end.end = {kind, status, std::move(report)};
  end.exit_status = status;
  return end;
}

TEST(EventLog, TellsEveryChangeOfStateWithItsReason) {
  const JobConfig config = two_workers();
  EventLog log(config);
  log.begin(100.5);
  log.note(NodeEffect(attempt(0, 0)), 101);
  log.note(NodeEvent(WorkerFact{0, RankStarted{0, 11}}), 102);
  log.note(NodeEvent(WorkerFact{0, RankStarted{1, 12}}), 102);
  log.note(NodeEvent(WorkerFact{0, RankEnded{1, ExitStatus::exited(3)}}), 103);
  log.note(NodeEffect(Say{LogLevel::kWarning, "rank 5 exited with code 3; stopping the others"}), 103);
  log.note(NodeEffect(SignalWorker{0, 0, 11, SIGTERM, true}), 103);
  log.note(NodeEvent(WorkerFact{0, RankEnded{0, ExitStatus::signaled(SIGTERM)}}), 104);
  log.note(NodeEvent(AttemptSwept{0}), 105);
  log.note(NodeEvent(SignalArrived{SIGINT}), 106);
  log.note(NodeEffect(done(JobEnd::Kind::kFailed, 3, {"rank 5 failed", "no restart is left"})), 107);
  std::vector<json> lines;
  for (const std::string& line : log.take_lines()) lines.push_back(json::parse(line));
  const std::vector<json> expected = {{{"time", 100.5},
                                       {"event", "job"},
                                       {"state", "started"},
                                       {"run_id", "job"},
                                       {"launch_id", "launch"},
                                       {"host", "node7"},
                                       {"program", {"/usr/bin/python3", "-u", "train.py"}},
                                       {"workers", 2},
                                       {"max_restarts", 1}},
                                      {{"time", 101.0},
                                       {"event", "attempt"},
                                       {"state", "starting"},
                                       {"attempt", 0},
                                       {"round", to_string(RoundId{1, 1})},
                                       {"restart_count", 0},
                                       {"node_rank", 2},
                                       {"nodes", 3},
                                       {"world_size", 6},
                                       {"master_addr", "10.0.0.1"},
                                       {"master_port", 29500}},
                                      {{"time", 102.0},
                                       {"event", "worker"},
                                       {"state", "running"},
                                       {"attempt", 0},
                                       {"rank", 4},
                                       {"local_rank", 0},
                                       {"pid", 11}},
                                      {{"time", 102.0},
                                       {"event", "worker"},
                                       {"state", "running"},
                                       {"attempt", 0},
                                       {"rank", 5},
                                       {"local_rank", 1},
                                       {"pid", 12}},
                                      {{"time", 103.0},
                                       {"event", "worker"},
                                       {"state", "failed"},
                                       {"attempt", 0},
                                       {"rank", 5},
                                       {"local_rank", 1},
                                       {"exit_code", 3},
                                       {"reason", "exited with code 3"}},
                                      {{"time", 103.0},
                                       {"event", "message"},
                                       {"level", "warning"},
                                       {"text", "rank 5 exited with code 3; stopping the others"}},
                                      {{"time", 103.0},
                                       {"event", "worker"},
                                       {"state", "signalled"},
                                       {"attempt", 0},
                                       {"rank", 4},
                                       {"local_rank", 0},
                                       {"signal", "SIGTERM"},
                                       {"reason", "rank 5 exited with code 3; stopping the others"}},
                                      {{"time", 104.0},
                                       {"event", "worker"},
                                       {"state", "failed"},
                                       {"attempt", 0},
                                       {"rank", 4},
                                       {"local_rank", 0},
                                       {"signal", "SIGTERM"},
                                       {"reason", ExitStatus::signaled(SIGTERM).describe()}},
                                      {{"time", 105.0},
                                       {"event", "attempt"},
                                       {"state", "ended"},
                                       {"attempt", 0},
                                       {"reason", "rank 5 exited with code 3; stopping the others"}},
                                      {{"time", 106.0}, {"event", "signal"}, {"signal", "SIGINT"}},
                                      {{"time", 107.0},
                                       {"event", "job"},
                                       {"state", "failed"},
                                       {"exit_status", 3},
                                       {"reason", "rank 5 failed\nno restart is left"}}};
  ASSERT_THAT(lines, SizeIs(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(lines[i], expected[i]) << i;
  EXPECT_THAT(log.take_lines(), SizeIs(0));
}

TEST(EventLog, EveryLineIsJsonWhateverTheBytes) {
  const JobConfig config = two_workers();
  EventLog log(config);
  log.note(NodeEffect(Say{LogLevel::kInfo, "bad \xff byte\nand a line"}), 1);
  const std::vector<std::string> lines = log.take_lines();
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0].find('\n'), std::string::npos);
  EXPECT_EQ(json::parse(lines[0])["text"], "bad \xEF\xBF\xBD byte\nand a line");
}

std::vector<json> parsed(ElasticEvents& events) {
  std::vector<json> lines;
  for (const std::string& line : events.take_lines()) lines.push_back(json::parse(line));
  return lines;
}

TEST(ElasticEvents, StartOfEveryWorkerAndTheEndOfTheLastOnes) {
  const JobConfig config = two_workers();
  ElasticEvents events(config, 100);
  events.note(NodeEffect(attempt(0, 0)), 101);
  events.note(NodeEvent(WorkerFact{0, RankStarted{0, 11}}));
  events.note(NodeEvent(WorkerFact{0, RankEnded{0, ExitStatus::exited(3)}}));
  events.note(NodeEffect(attempt(1, 1)), 102);
  events.note(NodeEvent(WorkerFact{1, RankStarted{0, 21}}));
  events.note(NodeEvent(WorkerFact{1, RankStarted{1, 22}}));
  events.note(NodeEvent(WorkerFact{0, RankEnded{1, ExitStatus::exited(4)}}));  // of the attempt before
  events.note(NodeEvent(WorkerFact{1, RankEnded{0, ExitStatus::exited(0)}}));
  events.note(NodeEvent(WorkerFact{1, RankEnded{1, ExitStatus::signaled(SIGSEGV)}}));
  EvidenceGathered evidence{1, {FailedWorker{}}};
  evidence.workers[0].local_rank = 1;
  evidence.workers[0].evidence.error.state = ErrorFile::State::kRead;
  evidence.workers[0].evidence.error.message = "ValueError: x";
  evidence.workers[0].evidence.error.callstack = "Traceback";
  evidence.workers[0].evidence.error.timestamp = 5;
  events.note(NodeEvent(evidence));
  events.note(NodeEffect(done(JobEnd::Kind::kFailed, 139, {"rank 5 crashed"})), 107.9);
  const std::vector<json> lines = parsed(events);
  ASSERT_THAT(lines, SizeIs(6));
  const auto what = [&lines](size_t i) {
    return lines[i]["source"].get<std::string>() + " " + lines[i]["name"].get<std::string>();
  };
  EXPECT_EQ(what(0), "WORKER torchelastic.worker.status.START");
  EXPECT_EQ(what(2), "WORKER torchelastic.worker.status.START");
  EXPECT_EQ(what(3), "WORKER torchelastic.worker.status.TERMINATED");
  EXPECT_EQ(what(4), "WORKER torchelastic.worker.status.FAILED");
  EXPECT_EQ(what(5), "AGENT torchelastic.worker.status.FAILED");
  const json& failed = lines[4]["metadata"];
  EXPECT_EQ(failed["global_rank"], 5);
  EXPECT_EQ(failed["group_rank"], 2);
  EXPECT_EQ(failed["worker_id"], "22");
  EXPECT_EQ(failed["agent_restarts"], 1);
  EXPECT_EQ(failed["total_run_time"], 7);
  EXPECT_EQ(json::parse(failed["raw_error"].get<std::string>()), json::parse(R"({"message": {"message": "ValueError: x",
                                        "extraInfo": {"py_callstack": "Traceback", "timestamp": "5"}}})"));
  EXPECT_EQ(json::parse(failed["metadata"].get<std::string>()),
            json::parse(R"({"group_world_size": 3, "entry_point": "python3", "local_rank": [1], "role_rank": [5],
                            "role_world_size": [6], "exit_code": [-11], "worker_pid": [22]})"));
  EXPECT_EQ(lines[5]["metadata"]["global_rank"], nullptr);
  EXPECT_EQ(lines[5]["metadata"]["raw_error"], "rank 5 crashed");
}

TEST(ElasticEvents, AnAgentThatWasToldToStopRecordsItsOwnEndAlone) {
  const JobConfig config = two_workers();
  ElasticEvents events(config, 100);
  events.note(NodeEffect(attempt(0, 0)), 101);
  events.note(NodeEvent(WorkerFact{0, RankStarted{0, 11}}));
  events.note(NodeEffect(done(JobEnd::Kind::kStopped, 143, {})), 102);
  const std::vector<json> lines = parsed(events);
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_EQ(lines[1]["source"], "AGENT");
  EXPECT_EQ(lines[1]["metadata"]["state"], "FAILED");
}

}  // namespace
}  // namespace ferrun
