// The parts equal torch.utils.data.random_split's, index for index.
#include "tests/parity/data_peer.h"
#include "worker/data/subset.h"

namespace ferrun::data {
namespace {

using SplitParity = parity::PeerTest;

// A dataset of so many pictures, none of which is ever loaded.
class Numbered final : public Dataset {
 public:
  explicit Numbered(int64_t size) : size_(size) {}
  int64_t size() const override { return size_; }
  const std::vector<std::string>& classes() const override { return classes_; }
  int label(int64_t) const override { return 0; }
  std::string name(int64_t index) const override { return std::to_string(index); }
  Status load_into(int64_t, Image&, MemoryLease&) const override { return ok_status(); }

 private:
  int64_t size_;
  std::vector<std::string> classes_ = {"a"};
};

TEST_F(SplitParity, PartsEqualRandomSplits) {
  run_peer("split_peer.py");
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_GT(manifest().size(), 50u);
  for (const auto& entry : manifest()) {
    const std::vector<double> fractions = entry["fractions"];
    EXPECT_TRUE(are_fractions_of_one(fractions));
    const auto parts = random_split(std::make_shared<Numbered>(entry["size"]), fractions, entry["seed"]);
    ASSERT_EQ(parts.size(), entry["parts"].size());
    for (size_t i = 0; i < parts.size(); ++i) {
      EXPECT_TRUE(parts[i]->indices() == entry["parts"][i].get<std::vector<int64_t>>())
          << "size " << entry["size"] << " fractions " << entry["fractions"] << " part " << i;
    }
  }
}

}  // namespace
}  // namespace ferrun::data
