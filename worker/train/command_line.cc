#include "worker/train/command_line.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include "worker/data/recipe.h"
#include "worker/data/subset.h"
#include "worker/train/cli_app.h"

namespace ferrun::train {
namespace {

using Arguments = std::vector<std::string>;
constexpr int64_t kLargestSide = 16384;
constexpr int64_t kMostPictures = 1000000;  // of a class, of a batch
constexpr int64_t kMostPixels = int64_t{1} << 40;

const char* const kCommands =
    "Commands (the first argument):\n"
    "  train        train the classifier; the default\n"
    "  predict      class probabilities of single pictures\n"
    "  eval         loss and accuracy of a checkpoint on a folder of pictures\n"
    "  export       write a checkpoint's weights for other programs\n"
    "  make-data    write the drawn faces as a folder of JPEGs\n"
    "  report       show a run on one HTML page\n"
    "'worker COMMAND --help' lists a command's options. Names may be written with _ for -.";

// "--batch_size=4" → "--batch-size=4". Values stay as they are; after "--" everything does.
Arguments with_dashes(Arguments arguments) {
  for (std::string& argument : arguments) {
    if (argument == "--") {
      break;
    }
    if (argument.rfind("--", 0) == 0) {
      std::replace(argument.begin(),
                   argument.begin() + static_cast<std::ptrdiff_t>(std::min(argument.find('='), argument.size())), '_',
                   '-');
    }
  }
  return arguments;
}

// A switch that is on by default, with the flag that turns it off.
void add_switch(CLI::App& app, const std::string& name, bool& value, const std::string& help,
                const std::string& opposite, const std::string& group) {
  app.add_flag_callback(
         "--" + name, [&value] { value = true; }, help)
      ->group(group);
  app.add_flag_callback(
         "--no-" + name, [&value] { value = false; }, opposite)
      ->group(group);
}

// --transforms and --print-transforms as given: what they stand for needs the other options.
struct TransformsRequest {
  std::string file;
  bool print = false;
};

std::vector<double> shares_of(const std::string& text) {
  const auto refuse = [&](const std::string& why) {
    throw CLI::ValidationError("--split", "'" + text + "' " + why + ", as 0.8,0.1,0.1");
  };
  std::vector<double> shares;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) shares.push_back(real_number("--split", word, 0));
  if (shares.size() < 2 || shares.size() > 3) refuse("is not two or three shares, to train, to validate and to test");
  if (!data::are_fractions_of_one(shares)) refuse("does not sum to 1");
  return shares;
}

void add_data_options(CLI::App& app, DataOptions& data, TransformsRequest& transforms) {
  const std::string group = "Data";
  app.add_option("--data", data.directory,
                 "A folder with train/ and val/ (or valid/, validation/), one folder of pictures per class. "
                 "Default: faces drawn by the program")
      ->type_name("DIR")
      ->group(group);
  add_whole(
      app, "--image-size", 1, kLargestSide, [&data](int64_t size) { data.image_size = static_cast<int>(size); },
      "Pixels of a picture's side, a multiple of 32 (default: 224; drawn faces: 64)")
      ->group(group);
  add_whole(app, "--faces", data.faces_per_class, 1, kMostPictures,
            "Drawn training faces per class; a fifth of it to validate")
      ->group(group);
  add_whole(app, "--num-workers", data.num_workers, 0, 256,
            "Threads of a rank that read pictures; 0: read between steps")
      ->group(group);
  add_choice<data::BadImages>(app, "--bad-images", data.bad_images,
                              {{"fail", data::BadImages::kFail}, {"skip", data::BadImages::kSkip}},
                              "A picture that cannot be read ends the run, or is left out and counted (default: fail)")
      ->group(group);
  app.add_option_function<std::string>(
         "--split", [&data](const std::string& text) { data.split = shares_of(text); },
         "Divide a folder that has nothing to validate on: shares to train, validate and test, drawn as torch's "
         "random_split draws them")
      ->type_name("A,B[,C]")
      ->group(group);
  app.add_option("--transforms", transforms.file, "What is done to pictures, in JSON; --print-transforms writes one")
      ->type_name("FILE")
      ->group(group);
  app.add_flag("--print-transforms", transforms.print, "Print the transforms as JSON, and end")->group(group);
  app.add_flag("--exif-orientation", data.exif_orientation, "Turn JPEGs upright as their EXIF data says")->group(group);
  add_whole(app, "--max-pixels", data.max_pixels, 1, kMostPixels,
            "Pictures of more pixels are refused before they take memory")
      ->group(group);
}

// What the data options mean together; the text of --print-transforms, else an empty one.
Result<std::string> settle(const TransformsRequest& request, DataOptions& data) {
  if (!data.split.empty() && data.directory.empty()) return usage_error("--split divides a folder: give --data too");
  if (!request.file.empty()) {
    Result<data::Recipe> recipe = data::read_recipe(request.file);
    if (!recipe) return recipe.error();
    if (data.image_size && *data.image_size != recipe->size()) {
      return usage_error("--image-size " + std::to_string(*data.image_size) + ": the pictures of --transforms " +
                         request.file + " have " + std::to_string(recipe->size()) + "; leave --image-size out");
    }
    data.image_size = recipe->size();
    data.transforms = std::move(*recipe);
  }
  if (!request.print) return std::string();
  const std::string text = data::recipe_text(data.recipe());
  const Result<data::Recipe> readable = data::parse_recipe(text, "--image-size " + std::to_string(data.size()));
  return readable ? Result<std::string>(text) : readable.error();
}

// The same for a command with options of the kind `Options`; another answer (help, an error) stays as it is.
template <typename Options>
void settle_data(const TransformsRequest& request, Result<Command>& command) {
  Options* const parsed = command ? std::get_if<Options>(&*command) : nullptr;
  if (parsed == nullptr) return;
  const Result<std::string> text = settle(request, parsed->data);
  if (!text) {
    command = text.error();
  } else if (!text->empty()) {
    command = Command(Answer{*text});
  }
}

void add_compute_options(CLI::App& app, DeviceChoice& device, AmpChoice* amp, bool* channels_last, int* threads,
                         std::chrono::seconds* timeout) {
  const std::string group = "Device and speed";
  add_choice<DeviceChoice>(app, "--device", device,
                           {{"auto", DeviceChoice::kAuto}, {"cpu", DeviceChoice::kCpu}, {"cuda", DeviceChoice::kCuda}},
                           "Where to compute; cuda takes the GPU numbered LOCAL_RANK (default: auto)")
      ->group(group);
  if (amp != nullptr) {
    app.add_option_function<std::vector<std::string>>(
           "--amp",
           [amp](const std::vector<std::string>& words) {
             const std::map<std::string, AmpChoice> choices{{"", AmpChoice::kDeviceDefault},
                                                            {"on", AmpChoice::kDeviceDefault},
                                                            {"off", AmpChoice::kOff},
                                                            {"bf16", AmpChoice::kBFloat16},
                                                            {"fp16", AmpChoice::kFloat16}};
             const std::string word = words.empty() ? "" : words.front();
             const auto found = choices.find(word);
             if (found == choices.end()) {
               throw CLI::ValidationError("--amp", "'" + word + "' is not one of off|bf16|fp16");
             }
             *amp = found->second;
           },
           "Mixed precision. Alone: bf16 on the CPU, fp16 with a gradient scaler on CUDA (default: off)")
        ->expected(0, 1)
        ->type_name("off|bf16|fp16")
        ->group(group);
  }
  if (channels_last != nullptr) {
    add_switch(app, "channels-last", *channels_last,
               "Keep tensors in channels-last order, the faster one (the default)",
               "Keep them in LibTorch's usual order", group);
  }
  if (threads != nullptr) {
    add_whole(
        app, "--threads", 1, 1024, [threads](int64_t number) { *threads = static_cast<int>(number); },
        "Threads of a rank's computation (default: OMP_NUM_THREADS, else cores / ranks)")
        ->group(group);
  }
  if (timeout != nullptr) {
    add_whole(
        app, "--collective-timeout", 1, 1000000,
        [timeout](int64_t seconds) { *timeout = std::chrono::seconds(seconds); },
        "Seconds after which a rank that takes no part ends the run by name (default: " +
            std::to_string(timeout->count()) + ")")
        ->type_name("S")
        ->group(group);
  }
}

void add_recipe_options(CLI::App& app, TrainOptions& options) {
  const std::string group = "Recipe";
  add_whole(app, "--epochs", options.epochs, 1, kNoLimit, "Passes over the training set")->group(group);
  add_whole(app, "--batch-size", options.batch_size, 1, kMostPictures,
            "Pictures in a step of the whole job; divided among the ranks")
      ->group(group);
  add_real(app, "--lr", options.lr, 0, "Learning rate")->group(group);
  add_choice<ScheduleChoice>(
      app, "--scheduler", options.schedule,
      {{"step", ScheduleChoice::kStep}, {"cosine", ScheduleChoice::kCosine}, {"plateau", ScheduleChoice::kPlateau}},
      "How the learning rate falls: in steps, along half a cosine until the last epoch, or when "
      "--monitor no longer improves (default: step)")
      ->group(group);
  add_whole(app, "--step-size", options.step_size, 1, kNoLimit, "step: epochs between two reductions")->group(group);
  add_real(app, "--gamma", options.gamma, 0, "step and plateau: factor of each reduction")->group(group);
  add_whole(app, "--plateau-patience", options.plateau_patience, 0, kNoLimit,
            "plateau: epochs without a better one before a reduction")
      ->group(group);
  add_whole(app, "--warmup", options.warmup, 0, kNoLimit,
            "Epochs in which the learning rate rises from a third to the whole, before the schedule")
      ->group(group);
  add_whole(app, "--accumulate", options.accumulate, 1, kMostPictures,
            "Batches whose gradients add up to one step of the optimizer")
      ->group(group);
  add_choice<Monitor>(app, "--monitor", options.monitor,
                      {{"val_accuracy", Monitor::kAccuracy}, {"val_loss", Monitor::kLoss}, {"val_f1", Monitor::kF1}},
                      "What makes an epoch the best (default: val_accuracy)")
      ->group(group);
  add_real(app, "--min-delta", options.min_delta, 0,
           "How much better than the best an epoch must be to count as better")
      ->group(group);
  add_whole(app, "--patience", options.patience, 0, kNoLimit,
            "Epochs without a better one (--monitor) before stopping; 0: never")
      ->group(group);
  add_seed(app, options.seed, "Of weights, order and augmentation")->group(group);
  add_choice<OptimizerChoice>(
      app, "--optimizer", options.optimizer,
      {{"adam", OptimizerChoice::kAdam}, {"adamw", OptimizerChoice::kAdamW}, {"sgd", OptimizerChoice::kSgd}},
      "Adam, Adam with decoupled weight decay, or SGD with momentum (default: adam)")
      ->group(group);
  add_real(app, "--momentum", options.momentum, 0, "Of sgd")->group(group);
  app.add_flag("--nesterov", options.nesterov, "Nesterov's momentum, of sgd")->group(group);
  const auto take_decay = [&options](const std::string& text) {
    options.weight_decay = real_number("--weight-decay", text, 0);
  };
  app.add_option_function<std::string>("--weight-decay", take_decay, "Of every step (default: 0.01 for adamw, else 0)")
      ->type_name("X")
      ->group(group);
}

void add_loss_options(CLI::App& app, TrainOptions& options) {
  const std::string group = "Recipe";
  add_real(app, "--clip-grad", options.clip_grad, 0, "Largest norm of a step's gradients; 0: no limit")->group(group);
  add_real(app, "--ema", options.ema, 0,
           "Decay of a moving average of the weights, which is validated and saved as the best model; 0: none")
      ->check(CLI::Range(0.0, 1.0))
      ->group(group);
  add_real(app, "--label-smoothing", options.label_smoothing, 0, "Share of a label that goes to all classes alike")
      ->check(CLI::Range(0.0, 1.0))
      ->group(group);
  add_choice<ClassWeights>(app, "--class-weights", options.class_weights,
                           {{"none", ClassWeights::kNone}, {"balanced", ClassWeights::kBalanced}},
                           "balanced: rare classes count as much as frequent ones (default: none)")
      ->group(group);
  app.add_option("--weights", options.weights,
                 "Begin with the weights of a checkpoint or state_dict, of the worker or of Python")
      ->type_name("FILE")
      ->group(group);
  app.add_flag_callback(
         "--no-strict", [&options] { options.strict = false; },
         "Weights that are missing in it stay as they were drawn, unexpected ones are left out; both are listed")
      ->group(group);
}

void add_output_options(CLI::App& app, TrainOptions& options) {
  const std::string group = "Checkpoints and output";
  app.add_option(
         "--output-dir", options.output_dir,
         "For last_model.pt, best_model.pt, metrics.csv, accuracy_and_loss.png (default: a new directory in runs/)")
      ->type_name("DIR")
      ->group(group);
  app.add_option_function<std::vector<std::string>>(
         "--resume",
         [&options](const std::vector<std::string>& words) { options.resume = words.empty() ? "" : words.front(); },
         "Continue from a checkpoint, a directory that holds one, or (alone) the one in --output-dir")
      ->expected(0, 1)
      ->type_name("PATH")
      ->group(group);
  app.add_flag("--overwrite", options.overwrite, "Start afresh although --output-dir holds a checkpoint")->group(group);
  add_whole(
      app, "--save-every", 0, kNoLimit, [&options](int64_t steps) { options.save_every = steps; },
      "Steps between two checkpoints within an epoch (default: only at its end)")
      ->group(group);
}

// Fills `command` from the arguments; an Answer when help was asked for.
Result<Command> parse(CliApp& app, const Arguments& arguments, const auto& options) {
  Arguments reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    return Command(Answer{app.help_text()});
  } catch (const CLI::CallForVersion&) {
    return Command(Answer{std::string("worker ") + FERRUN_VERSION + "\n"});
  } catch (const CLI::ParseError& error) {
    return Error{ErrorKind::kUsage, app.explain(error) + " ('" + app.get_name() + " --help' lists the options)"};
  }
  return Command(options);
}

Result<Command> parse_train(const Arguments& arguments) {
  CliApp app("Trains a facial-emotion classifier, data-parallel over the ranks that ferrun (or torchrun) starts.",
             "worker");
  app.set_version_flag("--version", FERRUN_VERSION, "Show the version");
  app.footer(kCommands);
  TrainOptions options;
  TransformsRequest transforms;
  add_data_options(app, options.data, transforms);
  add_recipe_options(app, options);
  add_loss_options(app, options);
  add_compute_options(app, options.device, &options.amp, &options.channels_last, &options.threads,
                      &options.collective_timeout);
  add_output_options(app, options);
  Result<Command> command = parse(app, arguments, options);
  if (TrainOptions* const parsed = command ? std::get_if<TrainOptions>(&*command) : nullptr) {
    for (const CLI::Option* option : app.get_options()) {
      if (option->count() > 0) parsed->given.insert(option->get_name().substr(2));
    }
  }
  settle_data<TrainOptions>(transforms, command);
  if (command && options.resume && options.resume->empty() && options.output_dir.empty() &&
      std::holds_alternative<TrainOptions>(*command)) {
    return Error{ErrorKind::kUsage, "--resume: name a checkpoint or a directory, or give --output-dir"};
  }
  return command;
}

Result<Command> parse_predict(const Arguments& arguments) {
  CliApp app("Prints the class probabilities of pictures.", "worker predict");
  PredictOptions options;
  app.add_option("images", options.images,
                 "Pictures (JPEG or PNG), folders of them, or - for a list on standard input, a path a line")
      ->required()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("");
  app.add_option("--checkpoint", options.checkpoint, "A checkpoint of the worker or of the Python trainer")
      ->required()
      ->type_name("FILE");
  app.add_option("--classes", options.classes, "Class names, for a checkpoint without them")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("A,B,...");
  add_whole(
      app, "--image-size", 1, kLargestSide, [&options](int64_t size) { options.image_size = static_cast<int>(size); },
      "Pixels of a picture's side, a multiple of 32 (default: the checkpoint's, else 224)");
  add_whole(
      app, "--top-k", 1, kMostPictures, [&options](int64_t number) { options.top_k = number; },
      "Only the N most probable classes, best first (default: all, in their order)");
  app.add_flag_callback(
      "--json", [&options] { options.format = PredictFormat::kJson; },
      "Print an array of {\"file\", \"probabilities\": {class: p}}");
  app.add_flag_callback(
      "--csv", [&options] { options.format = PredictFormat::kCsv; }, "Print a header and a line for each picture");
  add_whole(app, "--batch-size", options.batch_size, 1, kMostPictures, "Pictures that are computed together");
  add_whole(app, "--num-workers", options.num_workers, 0, 256, "Threads that read pictures; 0: read between batches");
  add_compute_options(app, options.device, nullptr, nullptr, &options.threads, nullptr);
  // Otherwise `--classes a,b x.png` would take x.png for a class.
  app.get_option("--classes")->expected(1)->allow_extra_args(false);
  return parse(app, arguments, options);
}

Result<Command> parse_eval(const Arguments& arguments) {
  CliApp app("Prints loss, accuracy and F1 of a checkpoint on a folder of pictures, or on the part that validates.",
             "worker eval");
  EvalOptions options;
  app.add_option("--checkpoint", options.checkpoint, "A checkpoint of the worker or of the Python trainer")
      ->required()
      ->type_name("FILE");
  TransformsRequest transforms;
  add_data_options(app, options.data, transforms);
  add_whole(app, "--batch-size", options.batch_size, 1, kMostPictures, "Pictures in a step of the whole job");
  add_compute_options(app, options.device, &options.amp, &options.channels_last, &options.threads,
                      &options.collective_timeout);
  Result<Command> command = parse(app, arguments, options);
  settle_data<EvalOptions>(transforms, command);
  return command;
}

Result<Command> parse_export(const Arguments& arguments) {
  CliApp app("Writes a checkpoint's weights for other programs.", "worker export");
  ExportOptions options;
  app.add_option("output", options.output, "The new file")->required()->type_name("");
  app.add_option("--checkpoint", options.checkpoint, "A checkpoint of the worker or of the Python trainer")
      ->required()
      ->type_name("FILE");
  add_choice<ExportFormat>(app, "--format", options.format,
                           {{"safetensors", ExportFormat::kSafetensors},
                            {"state-dict", ExportFormat::kStateDict},
                            {"torchscript", ExportFormat::kTorchScript}},
                           "A state_dict for torch.load, safetensors, or a program for torch.jit.load")
      ->required();
  app.add_flag("--overwrite", options.overwrite, "Replace the file that is there");
  return parse(app, arguments, options);
}

Result<Command> parse_make_data(const Arguments& arguments) {
  CliApp app("Writes the drawn faces as DIR/{train,val}/CLASS/NNNN.jpg.", "worker make-data");
  MakeDataOptions options;
  app.add_option("directory", options.directory, "A new directory")->required()->type_name("");
  add_whole(app, "--image-size", options.image_size, 16, 1024, "Pixels of a picture's side");
  add_whole(app, "--faces", options.faces_per_class, 1, kMostPictures,
            "Training faces per class; a fifth of it to validate");
  add_seed(app, options.seed, "Of the drawing");
  app.add_flag("--overwrite", options.overwrite, "Replace what DIR holds");
  return parse(app, arguments, options);
}

Result<Command> parse_report(const Arguments& arguments) {
  CliApp app("Shows a run on one HTML page: curves, confusion matrix, metrics of each class, configuration.",
             "worker report");
  ReportOptions options;
  app.add_option("directory", options.directory, "The --output-dir of a run")->required()->type_name("");
  app.add_option("--output", options.output, "Where to write the page (default: report.html in DIR)")
      ->type_name("FILE");
  return parse(app, arguments, options);
}

}  // namespace

Result<Command> parse_command_line(const std::vector<std::string>& given) {
  Arguments arguments = with_dashes(given);
  const std::map<std::string, Result<Command> (*)(const Arguments&)> parsers{
      {"train", parse_train},   {"predict", parse_predict},     {"eval", parse_eval},
      {"export", parse_export}, {"make-data", parse_make_data}, {"report", parse_report}};
  if (arguments.empty() || arguments.front().rfind('-', 0) == 0) {
    return parse_train(arguments);
  }
  const auto parser = parsers.find(arguments.front());
  if (parser == parsers.end()) {
    return Error{ErrorKind::kUsage, "'" + arguments.front() + "' is not a command ('worker --help' lists them)"};
  }
  arguments.erase(arguments.begin());
  return parser->second(arguments);
}

}  // namespace ferrun::train
