#include "worker/report/html_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <regex>

#include "tests/temporary_directory.h"
#include "tests/worker/report/picture.h"
#include "worker/checkpoint/archive_writer.h"
#include "worker/checkpoint/atomic_file.h"
#include "worker/report/html_text.h"
#include "worker/report/output_file.h"

namespace ferrun::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kNasty = "<script>alert('\"&')</script>";

std::vector<EpochMetrics> some_epochs() {
  return {
      {1, 1e-3, 2.0, 0.25, 2.1, 0.25, 0.2}, {2, 1e-3, 1.0, 0.5, 1.5, 0.75, 0.7}, {3, 1e-4, 0.5, 0.75, 1.75, 0.5, 0.5}};
}

TestResult some_test(const std::string& odd_name = "sad") {
  std::vector<uint8_t> grey(3 * 16 * 16, 128);
  return {"runs/a/best_model.pt",
          "/data/fer",
          0.5,
          {{"happy", odd_name}, {3, 1, 0, 4}},
          {{"val/happy/1.jpg", "happy", odd_name, 0.75, *thumbnail_png(grey, 16, 16, 16)},
           {"val/sad/2.jpg", odd_name, odd_name, 1.0, {}}}};
}

RunRecord whole_record(const std::string& odd_name = "sad") {
  RunRecord record;
  record.directory = "runs/a";
  record.name = "a";
  record.epochs = some_epochs();
  record.test = some_test(odd_name);
  record.best_epoch = 2;
  record.configuration = {{"batch_size", "128"}, {"optimizer", odd_name}};
  record.configuration_source = "best_model.pt";
  return record;
}

TEST(HtmlText, IsEscaped) {
  EXPECT_EQ(escaped("<a href=\"x\">'&'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
  EXPECT_EQ(escaped("é\xff\n"), "é\xef\xbf\xbd ");
}

TEST(HtmlText, ShowsNumbersThatAreNone) {
  EXPECT_EQ(fixed(0.12345, 3), "0.123");
  EXPECT_EQ(fixed(std::numeric_limits<double>::quiet_NaN(), 3), "–");
  EXPECT_EQ(fixed(std::numeric_limits<double>::max(), 1).size(), 311u);
  EXPECT_EQ(percent(0.9312), "93.1\u00a0%");
}

TEST(HtmlPage, ShowsAllPartsOfARun) {
  const std::string page = html_page(whole_record());
  for (const char* part :
       {"<h2>Curves</h2>", "best epoch: 2 (val_accuracy)", "best val accuracy, epoch 2", "<h2>Confusion matrix</h2>",
        "87.5\u00a0%", "<small>75.0\u00a0%", "<h2>Metrics of each class</h2>", "macro average",
        "<h2>Sample predictions</h2>", "✗ sad, 75.0\u00a0%", "✓ sad, 100.0\u00a0%", "data:image/png;base64,iVBORw0",
        "<h2>Configuration</h2>", "<td>batch_size</td><td>128</td>"}) {
    EXPECT_THAT(page, HasSubstr(part));
  }
  EXPECT_THAT(page, Not(HasSubstr("This page lacks")));
  EXPECT_EQ(html_page(whole_record()), page) << "the same run gives the same bytes";
}

TEST(HtmlPage, NeedsNothingBesideIt) {
  const std::string page = html_page(whole_record());
  EXPECT_THAT(page, Not(HasSubstr("http://")));
  EXPECT_THAT(page, Not(HasSubstr("https://")));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  const std::regex source(R"re((src|href)="(?!data:image/png;base64,[A-Za-z0-9+/=]*"))re");
  EXPECT_FALSE(std::regex_search(page, source));
}

TEST(HtmlPage, EscapesWhatComesFromFiles) {
  RunRecord record = whole_record(kNasty);
  record.directory = record.name = std::string("runs/") + kNasty;
  record.configuration_source = kNasty;
  record.missing = {kNasty};
  record.test->checkpoint = record.test->data = kNasty;
  record.test->predictions[0].file = record.test->predictions[1].file = kNasty;
  const std::string page = html_page(record);
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(&#39;&quot;&amp;&#39;)"));
}

TEST(HtmlPage, OpensAndClosesItsElements) {
  for (const RunRecord& record : {whole_record(), whole_record(kNasty)}) {
    const std::string page = html_page(record);
    std::vector<std::string> open;
    const std::regex tag(R"(<(/?)([a-z][a-z0-9]*)[^>]*?(/?)>)");
    for (std::sregex_iterator at(page.begin(), page.end(), tag), end; at != end; ++at) {
      const std::string name = (*at)[2];
      if (name == "meta" || name == "img" || (*at)[3] == "/") continue;
      if ((*at)[1] != "/") {
        open.push_back(name);
      } else {
        ASSERT_FALSE(open.empty());
        ASSERT_EQ(open.back(), name) << at->position();
        open.pop_back();
      }
    }
    EXPECT_THAT(open, IsEmpty());
  }
}

TEST(RunRecord, OfMetricsAloneSaysWhatIsMissing) {
  const testing::TemporaryDirectory folder;
  ASSERT_TRUE(write_file(folder.file("metrics.csv"), metrics_csv(some_epochs())).ok());
  const auto record = read_run(folder.path());
  ASSERT_TRUE(record.ok()) << record.error().message;
  EXPECT_EQ(record->epochs, some_epochs());
  EXPECT_EQ(record->name, folder.path().filename());
  EXPECT_THAT(record->missing, ElementsAre(HasSubstr("there is no test.json"), HasSubstr("neither best_model.pt nor")));
  const std::string page = html_page(*record);
  EXPECT_THAT(page, HasSubstr("there is no test.json"));
  EXPECT_THAT(page, HasSubstr("<h2>Curves</h2>"));
}

TEST(RunRecord, OfATestAloneHasNoCurves) {
  const testing::TemporaryDirectory folder;
  ASSERT_TRUE(write_test_json(folder.file("test.json"), some_test()).ok());
  const auto record = read_run(folder.file(""));
  ASSERT_TRUE(record.ok()) << record.error().message;
  EXPECT_EQ(record->name, folder.path().filename());
  EXPECT_THAT(html_page(*record), Not(HasSubstr("<h2>Curves</h2>")));
  EXPECT_THAT(record->missing, ElementsAre(HasSubstr("no metrics.csv"), HasSubstr("configuration")));
}

void write_checkpoint(const std::string& path, const checkpoint::StoredTree::Dict& entries) {
  checkpoint::AtomicFile file(path);
  ASSERT_TRUE(file.open().ok());
  ASSERT_TRUE(checkpoint::write_archive(file, checkpoint::StoredTree(entries), {}).ok());
  ASSERT_TRUE(file.commit().ok());
}

TEST(RunRecord, ReadsTheOptionsInACheckpoint) {
  using checkpoint::StoredTree;
  const testing::TemporaryDirectory folder;
  ASSERT_TRUE(write_file(folder.file("metrics.csv"), metrics_csv({})).ok());
  const StoredTree::Dict options{
      {"lr", 1e-3}, {"batch_size", 128}, {"optimizer", "adam"}, {"channels_last", true}, {"names", StoredTree::List{}}};
  write_checkpoint(folder.file("last_model.pt"), {{"options", options}});
  const auto record = read_run(folder.path());
  ASSERT_TRUE(record.ok()) << record.error().message;
  using Option = std::pair<std::string, std::string>;
  EXPECT_THAT(record->configuration, ElementsAre(Option{"lr", "0.001"}, Option{"batch_size", "128"},
                                                 Option{"optimizer", "adam"}, Option{"channels_last", "yes"}));
  EXPECT_EQ(record->configuration_source, "last_model.pt");
  EXPECT_THAT(record->missing, ElementsAre(HasSubstr("no epoch is finished"), HasSubstr("no test.json")));
}

TEST(RunRecord, TheBestEpochIsTheOneThatTheRunChose) {
  using checkpoint::StoredTree;
  const testing::TemporaryDirectory folder;
  ASSERT_TRUE(write_file(folder.file("metrics.csv"), metrics_csv(some_epochs())).ok());
  EXPECT_EQ(read_run(folder.path())->best_epoch, 2) << "by val_accuracy, where nothing says otherwise";
  // The lowest loss is epoch 2's, but not by more than --min-delta.
  const auto choice = [](int64_t epoch) {
    return StoredTree::Dict{{"early_stopping", StoredTree::Dict{{"monitor", "val_loss"}, {"best_epoch", epoch}}}};
  };
  write_checkpoint(folder.file("last_model.pt"), choice(3));
  auto record = read_run(folder.path());
  ASSERT_TRUE(record.ok()) << record.error().message;
  EXPECT_EQ(record->monitor, "val_loss");
  EXPECT_EQ(record->best_epoch, 3);
  const std::string page = html_page(*record);
  for (const char* part : {"best epoch: 3 (val_loss)", "<b>1.750</b><span>best val loss, epoch 3",
                           "val accuracy of that epoch", "<tr class=\"best-row\"><td>3</td>"}) {
    EXPECT_THAT(page, HasSubstr(part));
  }
  write_checkpoint(folder.file("best_model.pt"), choice(9));  // whose line was not written any more
  EXPECT_EQ(read_run(folder.path())->best_epoch, 2) << "by val_loss";
}

TEST(RunRecord, OfADirectoryThatIsNoneIsRefusedInOneLine) {
  const testing::TemporaryDirectory folder;
  const auto refusal = [&](const std::string& directory) {
    const auto record = read_run(directory);
    return record.ok() ? "accepted" : record.error().message;
  };
  EXPECT_THAT(refusal(folder.file("none")), HasSubstr("none is no directory"));
  EXPECT_THAT(refusal(folder.path()), HasSubstr("holds neither metrics.csv nor test.json"));
  ASSERT_TRUE(write_file(folder.file("best_model.pt"), std::string_view("no zip")).ok());
  ASSERT_TRUE(write_file(folder.file("metrics.csv"), metrics_csv(some_epochs())).ok());
  EXPECT_EQ(refusal(folder.path()), "accepted") << "a damaged checkpoint costs the configuration alone";
  ASSERT_TRUE(write_file(folder.file("test.json"), std::string_view("{")).ok());
  EXPECT_EQ(refusal(folder.path()), folder.file("test.json") + " is no JSON object");
}

std::string browser() {
  for (const char* path : {"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"}) {
    if (std::filesystem::exists(path)) return path;
  }
  return "";
}

// What a real browser makes of the page: the light one has a light corner, the dark one a dark one, and both show the
// curves' colours.
TEST(HtmlPage, IsShownByABrowserInLightAndDark) {
  if (browser().empty()) GTEST_SKIP() << "no browser (install Debian's chromium)";
  const testing::TemporaryDirectory folder;
  ASSERT_TRUE(write_file(folder.file("report.html"), html_page(whole_record())).ok());
  const auto shown = [&](const std::string& setting) {
    const std::string picture = folder.file("shot.png");
    const std::string command = "HOME='" + folder.path().string() + "' timeout 100 " + browser() +
                                " --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars" +
                                " --window-size=1200,1600 --user-data-dir='" + folder.file("profile") + "' " + setting +
                                " --screenshot='" + picture + "' 'file://" + folder.file("report.html") + "' >'" +
                                folder.file("log") + "' 2>&1";
    EXPECT_EQ(std::system(command.c_str()), 0) << *read_file(folder.file("log"));
    data::Image image;
    EXPECT_TRUE(data::read_image(picture, image).ok());
    return image;
  };
  const data::Image light = shown("--blink-settings=preferredColorScheme=1");
  ASSERT_EQ(light.width, 1200);
  EXPECT_EQ(light.pixels[0], 255);
  EXPECT_GT(count_ink(light, {31 / 255.0, 119 / 255.0, 180 / 255.0}, 0, 1200), 400) << "training, light";
  EXPECT_GT(count_ink(light, {214 / 255.0, 94 / 255.0, 0}, 0, 1200), 400) << "validation, light";
  const data::Image dark = shown("--blink-settings=preferredColorScheme=0");
  ASSERT_EQ(dark.width, 1200);
  EXPECT_LT(dark.pixels[0], 40);
  EXPECT_GT(count_ink(dark, {88 / 255.0, 166 / 255.0, 224 / 255.0}, 0, 1200), 400) << "training, dark";
}

}  // namespace
}  // namespace ferrun::report
