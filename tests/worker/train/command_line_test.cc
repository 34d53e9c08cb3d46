#include "worker/train/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "tests/temporary_directory.h"

namespace ferrun::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename Options>
Options parsed(const std::vector<std::string>& words) {
  const Result<Command> command = parse_command_line(words);
  EXPECT_TRUE(command.ok()) << command.error().message;
  const auto* const options = command ? std::get_if<Options>(&*command) : nullptr;
  EXPECT_NE(options, nullptr);
  return options != nullptr ? *options : Options();
}

std::string refusal(const std::vector<std::string>& words) {
  const Result<Command> command = parse_command_line(words);
  EXPECT_FALSE(command.ok());
  if (command) return "";
  EXPECT_EQ(command.error().kind, ErrorKind::kUsage);
  EXPECT_EQ(command.error().message.find('\n'), std::string::npos) << command.error().message;
  return command.error().message;
}

std::string help(const std::vector<std::string>& words) {
  const Result<Command> command = parse_command_line(words);
  return command.ok() && std::holds_alternative<Answer>(*command) ? std::get<Answer>(*command).text : "";
}

TEST(CommandLine, DefaultsAreTheRecipes) {
  const auto options = parsed<TrainOptions>({});
  EXPECT_EQ(options.epochs, 120);
  EXPECT_EQ(options.batch_size, 128);
  EXPECT_EQ(options.lr, 1e-3);
  EXPECT_EQ(options.step_size, 10);
  EXPECT_EQ(options.gamma, 0.1);
  EXPECT_EQ(options.patience, 20);
  EXPECT_EQ(options.seed, 42U);
  EXPECT_EQ(options.optimizer, OptimizerChoice::kAdam);
  EXPECT_EQ(options.amp, AmpChoice::kUnasked);
  EXPECT_TRUE(options.channels_last);
  EXPECT_EQ(options.data.size(), 64) << "drawn faces";
  EXPECT_EQ(parsed<TrainOptions>({"--data", "x"}).data.size(), 224);
  EXPECT_EQ(parsed<TrainOptions>({"--data", "x", "--image-size", "96"}).data.size(), 96);
}

TEST(CommandLine, TakesUnderscoresForDashesInNamesAlone) {
  const auto options =
      parsed<TrainOptions>({"--batch_size=64", "--output_dir=my_runs", "--num_workers", "0", "--no_channels_last"});
  EXPECT_EQ(options.batch_size, 64);
  EXPECT_EQ(options.output_dir, "my_runs");
  EXPECT_EQ(options.data.num_workers, 0);
  EXPECT_FALSE(options.channels_last);
}

TEST(CommandLine, OptionsOfAGpu) {
  const auto silent = parsed<TrainOptions>({});
  EXPECT_EQ(silent.data.num_workers, DataOptions::kDefaultWorkers);
  EXPECT_LT(silent.data.cache_mib, 0) << "the device decides";
  EXPECT_EQ(silent.read_every, 0);
  EXPECT_FALSE(silent.gpu.tf32 || silent.gpu.deterministic);
  const auto options = parsed<TrainOptions>({"--num-workers", "auto", "--cache=2048", "--tf32", "--deterministic",
                                             "--read-every", "5", "--cuda-graph", "on"});
  EXPECT_EQ(options.data.num_workers, DataOptions::kAutoWorkers);
  EXPECT_EQ(options.data.cache_mib, 2048);
  EXPECT_TRUE(options.gpu.tf32 && options.gpu.deterministic);
  EXPECT_EQ(silent.cuda_graph, GraphChoice::kAuto);
  EXPECT_EQ(options.cuda_graph, GraphChoice::kOn);
  EXPECT_EQ(options.read_every, 5);
  EXPECT_EQ(parsed<TrainOptions>({"--num-workers=7", "--cache", "0"}).data.num_workers, 7);
  EXPECT_THAT(refusal({"--num-workers", "many"}), HasSubstr("--num-workers"));
  EXPECT_THAT(refusal({"--read-every", "0"}), HasSubstr("--read-every"));
}

TEST(CommandLine, TakesTheLastOfRepeatedOptions) {
  EXPECT_EQ(parsed<TrainOptions>({"--epochs", "1", "--epochs=7"}).epochs, 7);
}

TEST(CommandLine, ReadsNumbersAsTheyAreWritten) {
  EXPECT_EQ(parsed<TrainOptions>({"--epochs", "010"}).epochs, 10) << "not octal";
  EXPECT_EQ(parsed<TrainOptions>({"--seed", "18446744073709551615"}).seed, 18446744073709551615U);
  EXPECT_EQ(parsed<TrainOptions>({"--lr", "1e-4"}).lr, 1e-4);
  // Rounded to a long double first, and then to a double, this one is another.
  EXPECT_EQ(parsed<TrainOptions>({"--lr", "1.000000000000000111022302462515654042363166809082031250001"}).lr,
            1.000000000000000111022302462515654042363166809082031250001);
  EXPECT_EQ(parsed<TrainOptions>({"--weight-decay", "0.1"}).weight_decay, 0.1);
  EXPECT_EQ(parsed<TrainOptions>({"--collective-timeout", "7"}).collective_timeout, std::chrono::seconds(7));
  EXPECT_EQ(parsed<TrainOptions>({"--save-every", "5", "--threads=3"}).save_every, 5);
}

TEST(CommandLine, ReadsMixedPrecision) {
  EXPECT_EQ(parsed<TrainOptions>({"--amp"}).amp, AmpChoice::kDeviceDefault);
  EXPECT_EQ(parsed<TrainOptions>({"--amp", "--epochs", "2"}).amp, AmpChoice::kDeviceDefault);
  EXPECT_EQ(parsed<TrainOptions>({"--amp", "--epochs", "2"}).epochs, 2);
  EXPECT_EQ(parsed<TrainOptions>({"--amp", "bf16"}).amp, AmpChoice::kBFloat16);
  EXPECT_EQ(parsed<TrainOptions>({"--amp=fp16"}).amp, AmpChoice::kFloat16);
  EXPECT_EQ(parsed<TrainOptions>({"--amp=off"}).amp, AmpChoice::kOff);
  EXPECT_THAT(refusal({"--amp=fp8"}), HasSubstr("off|bf16|fp16"));
}

TEST(CommandLine, ReadsResumeWithAndWithoutAPath) {
  EXPECT_EQ(parsed<TrainOptions>({}).resume, std::nullopt);
  EXPECT_EQ(parsed<TrainOptions>({"--resume", "x.pt"}).resume, "x.pt");
  EXPECT_EQ(parsed<TrainOptions>({"--resume", "--output-dir", "d"}).resume, "");
  EXPECT_THAT(refusal({"--resume"}), HasSubstr("--output-dir"));
}

TEST(CommandLine, HasCommands) {
  EXPECT_EQ(parsed<TrainOptions>({"train", "--epochs", "3"}).epochs, 3);
  const auto predict =
      parsed<PredictOptions>({"predict", "--checkpoint", "c.pt", "--classes", "a,b", "x.png", "y.jpg", "--json"});
  EXPECT_EQ(predict.checkpoint, "c.pt");
  EXPECT_THAT(predict.classes, ElementsAre("a", "b"));
  EXPECT_THAT(predict.images, ElementsAre("x.png", "y.jpg"));
  EXPECT_EQ(predict.format, PredictFormat::kJson);
  const auto listed = parsed<PredictOptions>({"predict", "--checkpoint", "c.pt", "--csv", "--top-k", "3",
                                              "--batch-size=8", "--num-workers", "0", "-", "dir", "--", "-k.jpg"});
  EXPECT_THAT(listed.images, ElementsAre("-", "dir", "-k.jpg"));
  EXPECT_EQ(listed.format, PredictFormat::kCsv);
  EXPECT_EQ(listed.top_k, 3);
  EXPECT_EQ(listed.batch_size, 8);
  EXPECT_EQ(listed.num_workers, 0);
  const auto exported = parsed<ExportOptions>({"export", "--checkpoint", "c.pt", "--format", "torchscript", "out.pt"});
  EXPECT_EQ(exported.format, ExportFormat::kTorchScript);
  EXPECT_EQ(exported.output, "out.pt");
  EXPECT_FALSE(exported.overwrite);
  EXPECT_THAT(refusal({"export", "--checkpoint", "c.pt", "--format", "onnx", "o"}),
              HasSubstr("safetensors|state-dict|torchscript"));
  EXPECT_THAT(refusal({"export", "--checkpoint", "c.pt", "o"}), HasSubstr("--format"));
  EXPECT_THAT(refusal({"predict", "--checkpoint", "c.pt", "--top-k", "0", "x"}), HasSubstr("--top-k"));
  EXPECT_EQ(parsed<EvalOptions>({"eval", "--checkpoint", "c.pt", "--data", "d"}).data.directory, "d");
  EXPECT_EQ(parsed<EvalOptions>({"eval", "--checkpoint", "c.pt"}).part, std::nullopt);
  EXPECT_EQ(parsed<EvalOptions>({"eval", "--checkpoint", "c.pt", "--part", "test"}).part, DataPart::kTest);
  const auto made = parsed<MakeDataOptions>({"make-data", "dir", "--faces", "9"});
  EXPECT_EQ(made.directory, "dir");
  EXPECT_EQ(made.faces_per_class, 9);
  const auto report = parsed<ReportOptions>({"report", "runs/a", "--output", "a.html"});
  EXPECT_EQ(report.directory, "runs/a");
  EXPECT_EQ(report.output, "a.html");
}

TEST(CommandLine, NamesWhatIsWrong) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--bogus"}, "there is no option --bogus"},
      {{"--bogus=3", "x"}, "there is no option --bogus=3"},
      {{"-x"}, "there is no option -x"},
      {{"--epochs"}, "--epochs needs a value"},
      {{"--epochs="}, "--epochs needs a value"},
      {{"--epochs", "0"}, "--epochs: '0' is not a whole number of at least 1"},
      {{"--epochs", "1.5"}, "--epochs: '1.5' is not a whole number"},
      {{"--epochs", "1e3"}, "--epochs: '1e3' is not a whole number"},
      {{"--epochs", "0x10"}, "--epochs: '0x10' is not a whole number"},
      {{"--epochs", "99999999999999999999"}, "is not a whole number"},
      {{"--lr", "x"}, "--lr: 'x' is not a number of at least 0"},
      {{"--lr", "nan"}, "--lr: 'nan' is not a number"},
      {{"--lr", "1e-3x"}, "--lr: '1e-3x' is not a number"},
      {{"--weight-decay", "-1"}, "--weight-decay: '-1' is not a number of at least 0"},
      {{"--num-workers", "-1"}, "--num-workers: '-1' is not a whole number from 0 to 256"},
      {{"--ema", "1.5"}, "--ema: '1.5' is not a number from 0 to 1"},
      {{"--label-smoothing=-0.1"}, "--label-smoothing: '-0.1' is not a number from 0 to 1"},
      {{"--image-size=-32"}, "--image-size: '-32' is not a whole number from 1 to 16384"},
      {{"--threads", "0"}, "--threads: '0' is not a whole number from 1 to 1024"},
      {{"--collective-timeout", "soon"}, "--collective-timeout: 'soon' is not a whole number from 1 to 1000000"},
      {{"--data", ""}, "--data: the path is empty; is a variable unset?"},
      {{"--output-dir="}, "--output-dir"},
      {{"--weights", ""}, "--weights: the path is empty"},
      {{"--optimizer", "1"}, "'1' is not one of adam|adamw|sgd"},
      {{"--max-pixels", "0"}, "--max-pixels: '0' is not a whole number from 1"},
      {{"predict", "--checkpoint", "c", "x", "--max-pixels", "many"}, "--max-pixels: 'many' is not a whole number"},
      {{"--seed", "-1"}, "--seed: '-1' is not a whole number from 0"},
      {{"--seed", "18446744073709551616"}, "--seed: '18446744073709551616' is not"},
      {{"--overwrite=maybe"}, "--overwrite takes no value"},
      {{"--no-channels-last=3"}, "--no-channels-last takes no value"},
      {{"--optimizer", "rmsprop"}, "'rmsprop' is not one of adam|adamw|sgd"},
      {{"--device", "tpu"}, "'tpu' is not one of auto|cpu|cuda"},
      {{"--bad-images", "maybe"}, "fail|skip"},
      {{"predict", "x.png"}, "--checkpoint is required"},
      {{"predict", "--checkpoint", "c"}, "the argument 'images' is missing"},
      {{"eval", "--checkpoint", "c", "--part", "all"}, "--part: 'all' is not one of test|train|val"},
      {{"make-data"}, "the argument 'directory' is missing"},
      {{"make-data", "a", "b"}, "'b' is one argument too many"},
      {{"report"}, "the argument 'directory' is missing"},
      {{"foo"}, "'foo' is not a command"},
      {{"train", "stray"}, "stray"},
  };
  for (const auto& [words, named] : cases) {
    EXPECT_THAT(refusal(words), HasSubstr(named));
    EXPECT_THAT(refusal(words), HasSubstr("--help"));
  }
}

TEST(CommandLine, HelpIsGroupedAndTellsTheDefaults) {
  const std::string text = help({"--help"});
  for (const char* command : {"train", "predict", "eval", "make-data", "report"}) {
    const std::string page = help({command, "--help"});
    for (const char* raw : {"TEXT", "INT", "REQUIRED", "Positionals", "OPTIONS", "[]", "\n\n\n"}) {
      EXPECT_EQ(page.find(raw), std::string::npos) << raw << " in\n" << page;
    }
  }
  for (const char* part : {"--amp [off|bf16|fp16]", "--resume [PATH|auto]",
                           "Data:", "Recipe:", "Device and speed:", "Checkpoints and output:", "make-data",
                           "--epochs N=120", "--batch-size N=128", "default: 224; drawn"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 130U) << line;
    EXPECT_TRUE(line.empty() || line.back() != ' ') << line;
  }
  EXPECT_THAT(help({"predict", "--help"}), HasSubstr("--json"));
  EXPECT_THAT(help({"--version"}), HasSubstr("worker "));
}

TEST(CommandLine, TransformsAreReadWithTheCommandLineAndPrintedFromIt) {
  EXPECT_EQ(help({"--print-transforms"}), data::recipe_text(data::Recipe::standard(64)));
  EXPECT_EQ(help({"--print-transforms", "--data", "d"}), data::recipe_text(data::Recipe::standard(224)));
  EXPECT_EQ(help({"eval", "--checkpoint", "c", "--print-transforms", "--image-size=96"}),
            data::recipe_text(data::Recipe::standard(96)));
  EXPECT_EQ(
      refusal({"--print-transforms", "--image-size=50"}),
      "--image-size 50: the pictures would have 50 x 50 pixels; the network takes squares whose side is a multiple "
      "of 32");
  const testing::TemporaryDirectory folder;
  const std::string path = folder.file("r.json");
  std::ofstream(path) << data::recipe_text(data::Recipe::standard(96));
  const auto options = parsed<TrainOptions>({"--transforms", path});
  EXPECT_EQ(options.data.size(), 96);
  EXPECT_EQ(options.data.recipe(), data::Recipe::standard(96));
  EXPECT_EQ(help({"--transforms", path, "--print-transforms"}), data::recipe_text(data::Recipe::standard(96)));
  EXPECT_EQ(refusal({"--transforms", path, "--image-size=64"}),
            "--image-size 64: the pictures of --transforms " + path + " have 96; leave --image-size out");
  std::ofstream(path) << "{}";
  EXPECT_EQ(refusal({"--transforms", path}), path + ": train is missing: a list of transforms");
}

TEST(CommandLine, SplitTakesTwoOrThreeSharesOfAFolder) {
  EXPECT_THAT(parsed<TrainOptions>({"--data=d", "--split=0.8,0.1,0.1"}).data.split, ElementsAre(0.8, 0.1, 0.1));
  EXPECT_THAT(parsed<TrainOptions>({"--data=d", "--split=0.9,0.1"}).data.split, ElementsAre(0.9, 0.1));
  EXPECT_EQ(refusal({"--split=0.9,0.1"}), "--split divides a folder: give --data too");
  EXPECT_EQ(refusal({"--data=d", "--split=0.9,0.2"}).substr(0, 46), "--split: '0.9,0.2' does not sum to 1, as 0.8,0");
  EXPECT_THAT(refusal({"--data=d", "--split=1"}), HasSubstr("'1' is not two or three shares"));
  EXPECT_THAT(refusal({"--data=d", "--split=a,b"}), HasSubstr("'a' is not a number from 0 to 1"));
}

TEST(CommandLine, HowPicturesAreDecoded) {
  const auto options = parsed<TrainOptions>({"--max-pixels=500000000", "--exif-orientation"});
  EXPECT_EQ(options.data.max_pixels, 500'000'000);
  EXPECT_EQ(options.data.exif_orientation, true);
  EXPECT_EQ(parsed<TrainOptions>({}).data.max_pixels, data::kDefaultMaxPixels);
  EXPECT_EQ(parsed<TrainOptions>({}).data.exif_orientation, std::nullopt) << "the checkpoint's of a run that continues";
  const auto predict = parsed<PredictOptions>(
      {"predict", "--checkpoint=c", "x.jpg", "--max-pixels=1000", "--exif-orientation", "--no-exif-orientation"});
  EXPECT_EQ(predict.max_pixels, 1000);
  EXPECT_EQ(predict.exif_orientation, false);
  EXPECT_EQ(parsed<EvalOptions>({"eval", "--checkpoint=c", "--exif-orientation"}).data.exif_orientation, true);
}

// The manual page and the program know the same options.
TEST(CommandLine, IsDescribedInTheManual) {
  std::ifstream file(FERRUN_SOURCE_DIR "/man/worker.1");
  ASSERT_TRUE(file.is_open());
  std::string manual((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  manual = std::regex_replace(manual, std::regex(R"(\\-)"), "-");
  const std::regex option("--[a-z][a-z-]+");
  std::set<std::string> known;
  for (const char* command : {"train", "predict", "eval", "make-data", "report"}) {
    const std::string text = help({command, "--help"});
    for (std::sregex_iterator match(text.begin(), text.end(), option), end; match != end; ++match) {
      known.insert(match->str());
    }
  }
  for (const std::string& name : known) {
    EXPECT_NE(manual.find(name), std::string::npos) << name << " is missing in man/worker.1";
  }
}

TEST(CommandLine, RefusesOptionsThatContradictEachOther) {
  const auto why = [](const std::vector<std::string>& words) {
    const Result<Command> command = parse_command_line(words);
    EXPECT_FALSE(command.ok());
    return command ? "" : command.error().message;
  };
  EXPECT_EQ(why({"--resume", "--overwrite", "--output-dir=out"}),
            "--resume continues what is in --output-dir, --overwrite starts afresh: give one of them");
  EXPECT_TRUE(parse_command_line({"--resume=other", "--overwrite", "--output-dir=out"}).ok());
  EXPECT_EQ(why({"--no-strict"}), "--no-strict is about --weights: give it too");
  EXPECT_EQ(why({"--ema", "1"}),
            "--ema: with a decay of 1 the average would be the first weights for ever; usual are 0.99 to 0.9999");
  EXPECT_EQ(why({"predict", "--checkpoint=c", "--json", "--csv", "x.jpg"}), "--json and --csv: give one of them");
}

}  // namespace
}  // namespace ferrun::train
