#include "launcher/config/device_count.h"

#include <gtest/gtest.h>

namespace ferrun {
namespace {

const std::vector<std::string> kFour = {"GPU-aaaa1111", "GPU-aabb2222", "GPU-cccc3333", "GPU-dddd4444"};

struct Row {
  const char* visible;
  int devices;
};

class VisibleDevices : public ::testing::TestWithParam<Row> {};

TEST_P(VisibleDevices, CountsAsCudaDoes) {
  EXPECT_EQ(visible_device_count(kFour, GetParam().visible), GetParam().devices);
}

INSTANTIATE_TEST_SUITE_P(Rules, VisibleDevices,
                         ::testing::Values(Row{"0", 1}, Row{"0,1,2,3", 4}, Row{"3,0", 2}, Row{" 1 , 2 ", 2},
                                           Row{"+1", 1},
                                           // The list ends at the first entry that names no device.
                                           Row{"0,-1,1", 1}, Row{"-1", 0}, Row{"", 0}, Row{"0,4,1", 1}, Row{"0,,1", 1},
                                           Row{"none", 0}, Row{"0,x", 1}, Row{"99999999999999999999", 0},
                                           // Digits count up to the first other character.
                                           Row{"1x,2", 2},
                                           // A device named twice leaves none.
                                           Row{"0,0", 0}, Row{"0,1,0", 0},
                                           // UUIDs may be shortened as long as one device alone fits.
                                           Row{"GPU-cccc3333", 1}, Row{"GPU-c", 1}, Row{"GPU-aa", 0},
                                           Row{"GPU-d,GPU-aaaa", 2}, Row{"GPU-d,GPU-zz,GPU-c", 1}, Row{"GPU-d,0", 1},
                                           Row{"GPU-d,GPU-dddd", 0}, Row{"0,GPU-d", 1}, Row{"MIG-1234,MIG-5678", 1}));

TEST(VisibleDevices, WithoutTheVariableAllAreVisible) {
  EXPECT_EQ(visible_device_count(kFour, std::nullopt), 4);
  EXPECT_EQ(visible_device_count({}, std::nullopt), 0);
  EXPECT_EQ(visible_device_count({}, "0"), 0);
  EXPECT_EQ(visible_device_count({}, "MIG-1"), 0);
}

}  // namespace
}  // namespace ferrun
