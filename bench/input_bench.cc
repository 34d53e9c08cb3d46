// input_bench: milliseconds per picture of the input pipeline on one core, file to normalised floats, ours and
// torchvision's.
//
// Both read the same JPEGs and apply the recipe's train transforms (48² → Resize 256 → RandomCrop 224 → flips →
// rotation → ToTensor → Normalize). Passes over the folder are interleaved (ours, torchvision, ours, …) and compared
// pair by pair, so that a slow moment of the machine hits both; the first pass of each warms up. Processor time is
// shown beside wall time: on a busy machine it is the steadier of the two.
//
//   input_bench [--data=DIR] [--size=224] [--rounds=N] [--json]      DIR: an ImageFolder; default: 280 drawn faces of
//   48²
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/statistics.h"
#include "tests/peer_path.h"
#include "tests/temporary_directory.h"
#include "worker/data/image_folder.h"
#include "worker/data/loader.h"
#include "worker/data/make_data.h"

namespace {

using namespace ferrun::data;  // NOLINT: a program about this one namespace
using ferrun::bench::median;

struct Options {
  std::string data;  // empty: draw some
  int size = 224;
  int rounds = 5;
  bool json = false;
};

// One pass over the pictures.
struct Pass {
  double wall_ms = 0;  // per picture
  double processor_ms = 0;
};

double seconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

template <typename T>
T value_or_exit(ferrun::Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "input_bench: %s\n", result.error().message.c_str());
    std::exit(1);
  }
  return std::move(result).value();
}

class OurPipeline {
 public:
  OurPipeline(const std::string& folder, int size)
      : pictures_(value_or_exit(ImageFolder::open(folder))),
        loader_(pictures_, Transform::train(size), {.batch_size = 64, .threads = 0}) {}

  Pass run(int64_t epoch) {
    std::vector<int64_t> order(static_cast<size_t>(pictures_->size()));
    std::iota(order.begin(), order.end(), 0);
    const double wall = seconds(CLOCK_MONOTONIC), processor = seconds(CLOCK_PROCESS_CPUTIME_ID);
    loader_.start(std::move(order), epoch);
    while (value_or_exit(loader_.next())) {
    }
    const double scale = 1e3 / static_cast<double>(pictures_->size());
    return {scale * (seconds(CLOCK_MONOTONIC) - wall), scale * (seconds(CLOCK_PROCESS_CPUTIME_ID) - processor)};
  }

 private:
  std::shared_ptr<const ImageFolder> pictures_;
  Loader loader_;
};

// input_peer.py: a line in, a pass, a line out.
class Torchvision {
 public:
  Torchvision(const std::string& python, const std::string& folder, int size) {
    int input[2], output[2];
    if (::pipe2(input, O_CLOEXEC) != 0 || ::pipe2(output, O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
    const std::string side = std::to_string(size);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(input[0], STDIN_FILENO);
      ::dup2(output[1], STDOUT_FILENO);
      ::execl(python.c_str(), python.c_str(), "-W", "ignore", FERRUN_SOURCE_DIR "/bench/input_peer.py", folder.c_str(),
              side.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(input[0]);
    ::close(output[1]);
    input_ = input[1];
    output_ = ::fdopen(output[0], "r");
  }
  ~Torchvision() {
    ::close(input_);
    std::fclose(output_);
    ::waitpid(pid_, nullptr, 0);
  }
  Torchvision(const Torchvision&) = delete;
  Torchvision& operator=(const Torchvision&) = delete;

  Pass run() {
    double pictures = 0, wall = 0, processor = 0;
    if (::write(input_, "\n", 1) != 1 || std::fscanf(output_, "%lf %lf %lf", &pictures, &wall, &processor) != 3) {
      throw std::runtime_error("the Python peer ended early");
    }
    return {1e3 * wall / pictures, 1e3 * processor / pictures};
  }

 private:
  pid_t pid_;
  int input_;
  std::FILE* output_;
};

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&](const char* name) {
      return word.starts_with(name) ? std::optional(word.substr(std::string(name).size())) : std::nullopt;
    };
    if (word == "--json") {
      options.json = true;
    } else if (const auto data = value("--data=")) {
      options.data = *data;
    } else if (const auto size = value("--size=")) {
      options.size = std::max(1, std::atoi(size->c_str()));
    } else if (const auto rounds = value("--rounds=")) {
      options.rounds = std::max(1, std::atoi(rounds->c_str()));
    } else {
      std::fprintf(stderr, "usage: input_bench [--data=DIR] [--size=224] [--rounds=N] [--json]\n");
      std::exit(2);
    }
  }
  return options;
}

// A folder of drawn faces of FER-2013's size, deleted at the end.
class DrawnFolder {
 public:
  DrawnFolder() {
    value_or_exit(
        write_image_folder(directory_.file("faces"), {.train_per_class = 40, .val_per_class = 1, .size = 48}));
  }
  std::string train() const { return directory_.file("faces/train"); }

 private:
  const ferrun::testing::TemporaryDirectory directory_;
};

void report(const Options& options, const std::vector<Pass>& ours, const std::vector<Pass>& theirs) {
  const auto medians = [](const std::vector<Pass>& passes, double Pass::*field) {
    std::vector<double> values;
    for (const Pass& pass : passes) values.push_back(pass.*field);
    return median(values);
  };
  std::vector<double> ratios;
  for (size_t i = 0; i < ours.size(); ++i) ratios.push_back(theirs[i].processor_ms / ours[i].processor_ms);
  if (options.json) {
    const nlohmann::json result = {{"size", options.size},
                                   {"rounds", options.rounds},
                                   {"ferrun_ms", medians(ours, &Pass::wall_ms)},
                                   {"ferrun_processor_ms", medians(ours, &Pass::processor_ms)},
                                   {"torchvision_ms", medians(theirs, &Pass::wall_ms)},
                                   {"torchvision_processor_ms", medians(theirs, &Pass::processor_ms)},
                                   {"speedup", median(ratios)}};
    std::printf("%s\n", result.dump(2).c_str());
    return;
  }
  std::printf("input pipeline, 1 core, medians of %d interleaved passes, ms per picture\n", options.rounds);
  std::printf("  %-12s %8s %12s\n", "", "wall", "processor");
  std::printf("  %-12s %8.3f %12.3f\n", "ferrun", medians(ours, &Pass::wall_ms), medians(ours, &Pass::processor_ms));
  std::printf("  %-12s %8.3f %12.3f\n", "torchvision", medians(theirs, &Pass::wall_ms),
              medians(theirs, &Pass::processor_ms));
  std::printf("  ferrun is %.2f times faster (median of the passes' ratios, processor time)\n", median(ratios));
}

int run(const Options& options) {
  const std::string python = ferrun::peer_python();
  if (python.empty()) {
    std::fprintf(
        stderr,
        "input_bench: no Python peer to compare with: set FERRUN_PEER_PYTHON, or install it with scripts/setup\n");
    return 1;
  }
  std::optional<DrawnFolder> drawn;
  if (options.data.empty()) drawn.emplace();
  const std::string folder = drawn ? drawn->train() : options.data;
  OurPipeline pipeline(folder, options.size);
  Torchvision peer(python, folder, options.size);
  std::vector<Pass> ours, theirs;
  for (int round = 0; round <= options.rounds; ++round) {
    const Pass our_pass = pipeline.run(round), their_pass = peer.run();
    if (round == 0) continue;
    ours.push_back(our_pass);
    theirs.push_back(their_pass);
  }
  report(options, ours, theirs);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(read_options(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "input_bench: %s\n", error.what());
    return 1;
  }
}
