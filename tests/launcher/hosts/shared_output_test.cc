#include "launcher/hosts/shared_output.h"

#include <gtest/gtest.h>

namespace ferrun {
namespace {

const std::string kRuler(78, '=');

std::string shown(std::initializer_list<std::pair<size_t, std::string>> lines) {
  SharedOutput output(3);
  std::string text;
  for (const auto& [host, line] : lines) output.take(host, line, text);
  for (size_t host = 0; host < 3; ++host) output.end(host, text);
  return text;
}

TEST(SharedOutput, ALineOfFerrunsIsSaidOnce) {
  EXPECT_EQ(shown({{0, "ferrun: stopping"}, {1, "ferrun: stopping"}, {0, "ferrun: stopping"}, {2, "ferrun: other"}}),
            "ferrun: stopping\nferrun: stopping\nferrun: other\n")
      << "again by the same host is news";
}

TEST(SharedOutput, WorkersLinesPassWhateverTheyAre) {
  EXPECT_EQ(shown({{0, "loss 1"},
                   {1, "loss 1"},
                   {0, kRuler},
                   {0, "model"},
                   {1, kRuler},
                   {1, "model"},
                   {1, kRuler},
                   {0, kRuler}}),
            "loss 1\nloss 1\n" + kRuler + "\nmodel\n" + kRuler + "\nmodel\n" + kRuler + "\n" + kRuler + "\n");
}

TEST(SharedOutput, TheReportIsThatOfTheFirstHost) {
  EXPECT_EQ(shown({{1, kRuler},
                   {0, kRuler},
                   {1, "ferrun: train.py FAILED; this one is node1"},
                   {0, "ferrun: train.py FAILED; this one is node0"},
                   {1, "Root cause: rank 3"},
                   {0, "Root cause: rank 3"},
                   {0, kRuler},
                   {1, kRuler},
                   {0, "a late line"}}),
            kRuler + "\nferrun: train.py FAILED; this one is node1\nRoot cause: rank 3\n" + kRuler + "\na late line\n");
}

}  // namespace
}  // namespace ferrun
