// Many workers, many deaths, and processes that look like workers but are none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "tests/e2e/launcher_run.h"
#include "tests/process/process_test_support.h"

namespace ferrun {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr long kMostGrowthInKilobytes = 1'000'000;  // freed memory stays in quarantine
#else
constexpr long kMostGrowthInKilobytes = 1024;
#endif

TEST(LauncherStorm, TwoHundredWorkersStartSeeEachOthersNumberAndEnd) {
  const ScratchFolder folder;
  const testing::JobMarker marker;
  const size_t equals = marker.variable().find('=');
  const Finished run = ferrun(folder, {"--nproc-per-node=200", "sh", "-c", "echo $RANK of $WORLD_SIZE"},
                              {{marker.variable().substr(0, equals), marker.variable().substr(equals + 1)}});
  EXPECT_EQ(run.code(), 0) << run.err;
  std::set<std::string> expected;
  for (int rank = 0; rank < 200; ++rank) expected.insert(std::to_string(rank) + " of 200");
  const std::vector<std::string> lines = split_lines(run.out);
  EXPECT_EQ(lines.size(), 200u);
  EXPECT_EQ(std::set(lines.begin(), lines.end()), expected);
  EXPECT_THAT(marker.processes(), IsEmpty());
}

TEST(LauncherStorm, TwoHundredWorkersEndWithTheOneThatFails) {
  const ScratchFolder folder;
  const testing::JobMarker marker;
  const size_t equals = marker.variable().find('=');
  const Finished run =
      ferrun(folder, {"--nproc-per-node=200", "sh", "-c", "[ $RANK = 137 ] && exit 42; exec sleep 600"},
             {{marker.variable().substr(0, equals), marker.variable().substr(equals + 1)}});
  EXPECT_EQ(run.code(), 42);
  EXPECT_THAT(run.err, HasSubstr("rank 137"));
  EXPECT_THAT(marker.processes(), IsEmpty());
}

// Each rank of each attempt ends at a moment and in a way that the seed gives it; some stop themselves instead, and
// have to be swept. Descriptors and memory of the agent are those that its workers see once all have started.
TEST(LauncherStorm, ManyDeathsAtRandomMomentsLeakNothing) {
  const char* const asked = std::getenv("FERRUN_STORM_SEED");
  const std::string seed = asked != nullptr ? asked : "20260";
  SCOPED_TRACE("FERRUN_STORM_SEED=" + seed);
  const ScratchFolder folder;
  const testing::JobMarker marker;
  const size_t equals = marker.variable().find('=');
  const std::string worker = R"(n=$TORCHELASTIC_RESTART_COUNT
case $n in 20|80)
  if [ $RANK = 0 ]; then
    for other in 1 2 3; do while [ ! -e here$n.$other ]; do sleep 0.01; done; done
    ls /proc/$PPID/fd | wc -l; sed -n 's/^VmRSS:[^0-9]*//;T;s/ kB//p' /proc/$PPID/status; touch seen$n
  else
    touch here$n.$RANK
    while [ ! -e seen$n ]; do sleep 0.01; done
  fi;;
esac
[ $n = 80 ] && exit 0
r=$(( ($FERRUN_STORM * 7919 + n * 104729 + RANK * 12997) % 9973 ))
sleep 0.0$(( r % 5 ))
case $(( r / 5 % 4 )) in
  0) kill -KILL $$;;
  1) kill -SEGV $$;;
  2) [ $RANK != 0 ] && kill -STOP $$;;
esac
exit $(( r % 200 + 1 )))";
  const Finished run =
      ferrun(folder, {"--nproc-per-node=4", "--max-restarts=80", "--shutdown-timeout=3600", "sh", "-c", worker},
             {{marker.variable().substr(0, equals), marker.variable().substr(equals + 1)}, {"FERRUN_STORM", seed}},
             std::chrono::seconds(240));
  EXPECT_EQ(run.code(), 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("(0 restarts left)"));
  const std::vector<std::string> seen = split_lines(run.out);
  ASSERT_EQ(seen.size(), 4u) << run.out;
  EXPECT_LE(std::stol(seen[2]), std::stol(seen[0]) + 2) << run.out;  // one that is being closed may still be there
  EXPECT_LE(std::stol(seen[3]), std::stol(seen[1]) + kMostGrowthInKilobytes) << run.out;
  EXPECT_THAT(marker.processes(), IsEmpty());
}

// Rank 1 has ended; a stranger, who is no descendant of ferrun, gets its number; then rank 0 fails and the group is
// stopped. Numbers are given away anew only in a namespace of its own.
TEST(LauncherStorm, AStrangerWithAWorkersNumberIsLeftAlone) {
  const std::vector<std::string> container = testing::container_command();
  if (container.empty()) GTEST_SKIP() << "PID namespaces (unshare -pf --mount-proc) are not permitted here";
  const ScratchFolder folder;
  const std::string script = folder.write("container.sh", R"(cd "$1"; ferrun=$2
"$ferrun" --nproc-per-node=2 --shutdown-timeout=1 sh -c '
  [ $RANK = 1 ] && { echo $$ > number.new; mv number.new number; exit 0; }
  while [ ! -e go ]; do sleep 0.01; done; exit 7' 2> err &
job=$!
while [ ! -e number ]; do sleep 0.01; done
number=$(cat number)
while [ -e /proc/$number ]; do sleep 0.01; done
tries=0
while [ $tries -lt 200 ]; do
  tries=$((tries + 1))
  echo $((number - 1)) > /proc/sys/kernel/ns_last_pid || { touch go; wait $job; echo denied; exit 0; }
  sleep 600 &
  stranger=$!
  [ $stranger = $number ] && break
  kill $stranger
done
touch go
wait $job
echo code $?
[ $stranger = $number ] && echo reused
kill -0 $stranger && echo alive
kill $stranger
)");
  std::vector<std::string> command = container;
  for (const std::string& word :
       {std::string("sh"), script, folder.path().string(), std::string(FERRUN_BIN_DIR "/ferrun")})
    command.push_back(word);
  testing::Program run(command);
  run.wait();
  if (run.out().find("denied") != std::string::npos) GTEST_SKIP() << "ns_last_pid cannot be written here";
  EXPECT_THAT(run.out(), HasSubstr("code 7\nreused\nalive\n")) << run.err() << folder.read("err");
}

// As a container's first process ferrun gets every orphan, of others too: none stays a zombie.
TEST(LauncherStorm, AsFirstProcessLeavesNoZombieOfOthers) {
  const std::vector<std::string> container = testing::container_command();
  if (container.empty()) GTEST_SKIP() << "PID namespaces (unshare -pf --mount-proc) are not permitted here";
  std::vector<std::string> command = container;
  // The orphans end before the worker looks; who is a zombie then, its parent has not reaped.
  for (const char* word : {FERRUN_BIN_DIR "/ferrun", "sh", "-c",
                           "for i in 1 2 3 4 5 6 7 8 9 10; do (setsid sh -c 'exit 3' &); done; "
                           "for i in $(seq 1000); do zombies=$(cat /proc/[0-9]*/stat 2> /dev/null | grep -c ') Z '); "
                           "[ $zombies = 0 ] && break; sleep 0.01; done; echo zombies $zombies; exit 5"})
    command.push_back(word);
  testing::Program run(command);
  EXPECT_EQ(run.wait(), ExitStatus::exited(5)) << run.err();
  EXPECT_THAT(run.out(), HasSubstr("zombies 0\n"));
}

}  // namespace
}  // namespace ferrun
