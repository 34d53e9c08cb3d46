#include "worker/ddp/failure_words.h"

#include <gtest/gtest.h>

namespace ferrun::ddp {
namespace {

TEST(FailureWords, OfGloo) {
  EXPECT_EQ(meaning_of("[/pytorch/third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 2000ms "
                       "for recv operation to complete"),
            FailureWords::kTimedOut);
  EXPECT_EQ(meaning_of("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer "
                       "[127.0.0.1]:4711"),
            FailureWords::kLostPeer);
  EXPECT_EQ(meaning_of("[enforce fail at /pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:446] op.preamble.length "
                       "<= op.nbytes. 24 vs 12"),
            FailureWords::kCollective);
}

// As LibTorch 2.11 writes them.
TEST(FailureWords, OfNccl) {
  EXPECT_EQ(meaning_of("Process group watchdog thread terminated with exception: [Rank 0] Watchdog caught collective "
                       "operation timeout: WorkNCCL(SeqNum=17, OpType=ALLREDUCE, NumelIn=262144, NumelOut=262144, "
                       "Timeout(ms)=300000) ran for 300017 milliseconds before timing out."),
            FailureWords::kTimedOut);
  EXPECT_EQ(meaning_of("NCCL error in: /pytorch/torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:3690, remote process "
                       "exited or there was a network error, NCCL version 2.28.9"),
            FailureWords::kLostPeer);
  EXPECT_EQ(meaning_of("ncclRemoteError: A call failed possibly due to a network error or a remote process exiting "
                       "prematurely."),
            FailureWords::kLostPeer);
  EXPECT_EQ(meaning_of("NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:94, unhandled cuda error, "
                       "NCCL version 2.28.9"),
            FailureWords::kCollective);
}

TEST(FailureWords, OfWhatIsNoCollective) {
  EXPECT_EQ(meaning_of("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB"),
            FailureWords::kNone);
  EXPECT_EQ(meaning_of("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"), FailureWords::kNone);
}

}  // namespace
}  // namespace ferrun::ddp
