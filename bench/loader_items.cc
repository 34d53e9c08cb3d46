// Items a second of ddp::DataLoader: the C++ side of bench/loader_bench.py, which says what is measured.
//
//   loader_items tensors|pictures|training WORKERS SECONDS FOLDER
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "worker/data/image_file.h"
#include "worker/data/transforms.h"
#include "worker/ddp/data_loader.h"

namespace {

namespace data = ferrun::data;
namespace ddp = ferrun::ddp;
using data::Image;

struct Tensors {
  int64_t size() const { return 20'000; }
  std::pair<at::Tensor, int64_t> get(int64_t index) const {
    return {at::full({16}, static_cast<double>(index), at::kFloat), index % 10};
  }
};

struct Pictures {
  std::vector<std::string> files;

  int64_t size() const { return std::ssize(files); }
  void read(int64_t index, Image& image) const {
    if (const auto loaded = ferrun::data::read_image(files[static_cast<size_t>(index)], image); !loaded) {
      throw std::runtime_error(loaded.error().message);
    }
  }
  std::pair<at::Tensor, int64_t> get(int64_t index) const {
    const auto image = std::make_shared<Image>();
    read(index, *image);
    const at::Tensor rows = at::from_blob(
        image->pixels.data(), {image->height, image->width, 3}, [image](void*) {}, at::kByte);
    return {rows.permute({2, 0, 1}), index % 10};
  }
};

struct Training {
  Pictures pictures;
  data::Transform transform =
      *data::Transform::compose({data::Resize{232, {}}, data::RandomCrop{224, 224}, data::RandomHorizontalFlip{},
                                 data::ToTensor{}, data::Normalize{}});

  int64_t size() const { return pictures.size(); }
  std::pair<at::Tensor, int64_t> get(int64_t index, ddp::SampleRandom& random) const {
    thread_local Image image;
    pictures.read(index, image);
    at::Tensor values = at::empty({3, transform.size(), transform.size()});
    const auto done = transform.apply(image, random.next(), false, values.mutable_data_ptr<float>());
    if (!done) throw std::runtime_error(done.error().message);
    return {std::move(values), index % 10};
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
    std::fprintf(stderr, "usage: loader_items tensors|pictures|training WORKERS SECONDS FOLDER\n");
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
  if (kind == "training") {
    measure(Training{std::move(pictures)}, workers, seconds);
  } else {
    measure(std::move(pictures), workers, seconds);
  }
  return 0;
}
