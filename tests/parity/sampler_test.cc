// The sampler's order equals torch.utils.data.DistributedSampler's, index for index.
#include "tests/parity/data_peer.h"
#include "worker/ddp/distributed_order.h"

namespace ferrun::ddp {
namespace {

using SamplerParity = parity::PeerTest;

TEST_F(SamplerParity, IndicesEqualPythonsForManySizes) {
  run_peer("sampler_peer.py");
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_GT(manifest().size(), 100u);
  for (const auto& entry : manifest()) {
    const DistributedOrder sampler{entry["size"],    entry["world"], entry["rank"],
                                   entry["shuffle"], entry["seed"],  entry["drop_last"]};
    const std::vector<int64_t> theirs = entry["indices"];
    EXPECT_EQ(sampler.samples_per_rank(), entry["length"]);
    EXPECT_TRUE(sampler.indices(entry["epoch"]) == theirs)
        << "size " << entry["size"] << " world " << entry["world"] << " rank " << entry["rank"] << " seed "
        << entry["seed"] << " epoch " << entry["epoch"];
  }
}

}  // namespace
}  // namespace ferrun::ddp
