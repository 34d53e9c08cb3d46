// What the user asked of the worker, validated: one struct for each command. The defaults are the recipe's.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "worker/data/image_file.h"
#include "worker/data/loader.h"
#include "worker/data/recipe.h"
#include "worker/plugins/gpu_arithmetic.h"
#include "worker/train/early_stopping.h"

namespace ferrun::train {

enum class DeviceChoice { kAuto, kCpu, kCuda };
enum class Precision { kFloat32, kBFloat16, kFloat16 };
// Without --amp: bf16 on a GPU that has it, else full precision. `--amp` without a value: the device decides (bf16, or
// fp16 on a GPU without bf16).
enum class AmpChoice { kOff, kUnasked, kDeviceDefault, kBFloat16, kFloat16 };
enum class OptimizerChoice { kAdam, kAdamW, kSgd };
enum class ScheduleChoice { kStep, kCosine, kPlateau };
enum class ClassWeights { kNone, kBalanced };
enum class GraphChoice { kAuto, kOn, kOff };
enum class DataPart { kTrain, kValidation, kTest };

constexpr int kDefaultImageSize = 224;
constexpr int kDefaultDrawnFaceSize = 64;
constexpr int64_t kDefaultFaces = 600;

struct DataOptions {
  std::string directory;                   // an ImageFolder; empty: faces drawn by the program
  std::optional<int> image_size;           // see image_size()
  std::optional<int64_t> faces_per_class;  // of the drawn training set, see faces(); a fifth of it to validate
  static constexpr int kAutoWorkers = -1, kDefaultWorkers = -2;
  int num_workers = kDefaultWorkers;  // loader threads of a rank; 0: none, pictures are read between steps
  int64_t cache_mib = -1;             // of decoded pictures that a rank keeps; below 0: 1024 on a GPU, else none
  data::BadImages bad_images = data::BadImages::kFail;
  std::vector<double> split;  // shares to train, to validate and (optional) to test; empty: the folders decide
  int64_t max_pixels = data::kDefaultMaxPixels;
  std::optional<bool> exif_orientation;  // default: the checkpoint's, else pictures stay as they are stored
  // --transforms: read and checked with the command line. Its size is `image_size` then.
  std::optional<data::Recipe> transforms;

  int64_t faces() const { return faces_per_class.value_or(kDefaultFaces); }
  int size() const { return image_size.value_or(directory.empty() ? kDefaultDrawnFaceSize : kDefaultImageSize); }
  data::Recipe recipe() const { return transforms ? *transforms : data::Recipe::standard(size()); }
};

struct TrainOptions {
  DataOptions data;

  int64_t epochs = 120;
  int64_t batch_size = 128;  // of the job; every rank takes its share
  double lr = 1e-3;
  ScheduleChoice schedule = ScheduleChoice::kStep;
  int64_t step_size = 10;                // step: epochs between two reductions of the learning rate
  double gamma = 0.1;                    // step and plateau: the factor of a reduction
  int64_t plateau_patience = 10;         // plateau: epochs without a better one before a reduction
  double min_lr = 0.0;                   // cosine and plateau: the rate at which the fall ends
  int64_t warmup = 0;                    // epochs of a linear warm-up before the schedule
  int64_t accumulate = 1;                // batches whose gradients add up to one step of the optimizer
  Monitor monitor = Monitor::kAccuracy;  // what makes an epoch better than another
  double min_delta = 0.0;                // better is better by more than that
  int64_t patience = 20;                 // epochs without a better one before the run ends; 0: never ends early
  uint64_t seed = 42;
  OptimizerChoice optimizer = OptimizerChoice::kAdam;
  std::optional<double> weight_decay;  // default: PyTorch's, 0.01 for AdamW and 0 for the others
  double momentum = 0.9;               // of SGD
  bool nesterov = false;
  double clip_grad = 0.0;  // the largest norm of a step's gradients; 0: no limit
  double ema = 0.0;        // decay of the weights' moving average, which is then validated and saved as best; 0: none
  double label_smoothing = 0.0;
  ClassWeights class_weights = ClassWeights::kNone;

  DeviceChoice device = DeviceChoice::kAuto;
  AmpChoice amp = AmpChoice::kUnasked;
  GpuArithmetic gpu;
  int64_t read_every = 0;  // steps whose loss is read from the device at once; 0: 20 on a GPU, else 1
  GraphChoice cuda_graph = GraphChoice::kAuto;
  bool channels_last = true;
  int threads = 0;  // of a rank's computation; 0: OMP_NUM_THREADS, else the cores divided by the node's ranks
  std::chrono::seconds collective_timeout{300};

  std::string weights;     // a file of weights to begin with; empty: drawn from the seed
  bool strict = true;      // they must be the model's, all of them and no others
  std::string output_dir;  // empty: a new directory below runs/
  // `--resume`: a checkpoint or a directory that holds one; empty text: the one in output_dir; "auto": if it is there.
  std::optional<std::string> resume;
  bool overwrite = false;
  int64_t save_every = 0;  // steps between two checkpoints within an epoch; 0: at the epoch's end alone

  // The names of the options that were given ("lr"); a resumed run takes the others from its checkpoint.
  std::set<std::string> given;
};

enum class PredictFormat { kText, kJson, kCsv };

struct PredictOptions {
  std::string checkpoint;
  std::vector<std::string> images;  // files, folders, "-" for a list on standard input
  std::vector<std::string> classes;
  std::optional<int> image_size;  // default: the checkpoint's, else the recipe's
  PredictFormat format = PredictFormat::kText;
  int64_t top_k = 0;  // only the most probable classes, best first; 0: all, in their order
  int64_t max_pixels = data::kDefaultMaxPixels;
  std::optional<bool> exif_orientation;  // default: the checkpoint's, else pictures stay as they are stored
  int64_t batch_size = 32;
  int num_workers = 2;  // threads that decode
  DeviceChoice device = DeviceChoice::kAuto;
  int threads = 0;
};

enum class ExportFormat { kStateDict, kSafetensors, kTorchScript };

struct ExportOptions {
  std::string checkpoint;
  std::string output;
  ExportFormat format = ExportFormat::kStateDict;
  bool overwrite = false;
};

struct EvalOptions {
  std::string checkpoint;
  DataOptions data;
  std::optional<DataPart> part;  // default: what validates
  int64_t batch_size = 128;
  DeviceChoice device = DeviceChoice::kAuto;
  AmpChoice amp = AmpChoice::kOff;
  GpuArithmetic gpu;
  bool channels_last = true;
  int threads = 0;
  std::chrono::seconds collective_timeout{300};
};

struct MakeDataOptions {
  std::string directory;
  int image_size = kDefaultDrawnFaceSize;
  int64_t faces_per_class = kDefaultFaces;
  uint64_t seed = 42;
  bool overwrite = false;
};

struct ReportOptions {
  std::string directory;  // the output directory of a run
  std::string output;     // empty: report.html in it
};

// Text for standard output instead of work: --help, --version.
struct Answer {
  std::string text;
};

using Command =
    std::variant<TrainOptions, PredictOptions, EvalOptions, ExportOptions, MakeDataOptions, ReportOptions, Answer>;

}  // namespace ferrun::train
