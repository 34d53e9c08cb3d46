// Items a second of ddp::DataLoader: the C++ side of bench/loader_bench.py, which says what is measured.
//
//   loader_items tensors|pictures WORKERS SECONDS FOLDER
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "worker/data/image_file.h"
#include "worker/ddp/data_loader.h"

namespace {

namespace ddp = ferrun::ddp;

struct Tensors {
  int64_t size() const { return 20'000; }
  std::pair<at::Tensor, int64_t> get(int64_t index) const {
    return {at::full({16}, static_cast<double>(index), at::kFloat), index % 10};
  }
};

struct Pictures {
  std::vector<std::string> files;

  int64_t size() const { return std::ssize(files); }
  std::pair<at::Tensor, int64_t> get(int64_t index) const {
    ferrun::data::Image image;
    const auto loaded = ferrun::data::read_image(files[static_cast<size_t>(index)], image);
    if (!loaded) throw std::runtime_error(loaded.error().message);
    const at::Tensor rows = at::empty({image.height, image.width, 3}, at::kByte);
    std::copy(image.pixels.begin(), image.pixels.end(), rows.mutable_data_ptr<uint8_t>());
    return {rows.permute({2, 0, 1}), index % 10};
  }
};

template <typename Dataset>
void measure(Dataset dataset, int workers, double seconds) {
  using Clock = std::chrono::steady_clock;
  ddp::DataLoader loader(
      std::move(dataset),
      ddp::DataLoaderOptions{.batch_size = 64, .shuffle = true, .num_workers = workers, .prefetch = 4});
  // The first pass starts the threads and is not counted.
  int64_t items = -1, sum = 0;
  Clock::time_point begin;
  double passed = 0;
  while (passed < seconds) {
    if (items < 0) {
      for (auto& [values, labels] : loader) sum += values.size(0);
      items = 0;
      begin = Clock::now();
      continue;
    }
    for (auto& [values, labels] : loader) items += labels.size(0);
    passed = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  std::printf("items_per_second %.1f\n", static_cast<double>(items) / passed);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: loader_items tensors|pictures WORKERS SECONDS FOLDER\n");
    return 2;
  }
  at::set_num_threads(1);
  const std::string kind = argv[1];
  const int workers = std::atoi(argv[2]);
  const double seconds = std::atof(argv[3]);
  if (kind == "tensors") {
    measure(Tensors{}, workers, seconds);
    return 0;
  }
  Pictures pictures;
  for (const auto& file : std::filesystem::directory_iterator(argv[4])) pictures.files.push_back(file.path());
  std::sort(pictures.files.begin(), pictures.files.end());
  measure(std::move(pictures), workers, seconds);
  return 0;
}
