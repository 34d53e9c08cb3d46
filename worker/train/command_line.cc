#include "worker/train/command_line.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "worker/plugins/find_cuda_plugin.h"
#include "worker/train/cli_app.h"
#include "worker/train/data_arguments.h"
#include "worker/train/output_plan.h"

namespace ferrun::train {
namespace {

using Arguments = std::vector<std::string>;

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

void add_seed(CLI::App& app, uint64_t& seed, const std::string& help) {
  app.add_option("--seed", seed, help)->transform(SeedNumber());
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

void add_amp(CLI::App& app, AmpChoice& amp, const std::string& fallback) {
  const auto take = [&amp](const std::string& word) {
    const std::map<std::string, AmpChoice> choices{{"", AmpChoice::kDeviceDefault},
                                                   {"on", AmpChoice::kDeviceDefault},
                                                   {"off", AmpChoice::kOff},
                                                   {"bf16", AmpChoice::kBFloat16},
                                                   {"fp16", AmpChoice::kFloat16}};
    const auto found = choices.find(word);
    if (found == choices.end()) throw CLI::ValidationError("--amp", "'" + word + "' is not one of off|bf16|fp16");
    amp = found->second;
  };
  app.add_option_function<std::string>(
         "--amp", take,
         "Mixed precision. Alone: bf16, or fp16 with a gradient scaler on a GPU without bf16 (default: " + fallback +
             ")")
      ->expected(0, 1)
      ->option_text("[off|bf16|fp16]");
}

void add_device_options(CLI::App& app, DeviceChoice& device, int& threads) {
  add_choice<DeviceChoice>(app, "--device", device,
                           {{"auto", DeviceChoice::kAuto}, {"cpu", DeviceChoice::kCpu}, {"cuda", DeviceChoice::kCuda}},
                           "Where to compute; cuda takes the GPU numbered LOCAL_RANK (default: auto)");
  app.add_option("--threads", threads, "Threads of a rank's computation (default: OMP_NUM_THREADS, else cores / ranks)")
      ->transform(WholeNumber(1, 1024))
      ->default_str("");
}

// Of the commands that several ranks run together.
template <typename Options>
void add_compute_options(CLI::App& app, Options& options) {
  app.option_defaults()->group("Device and speed");
  add_device_options(app, options.device, options.threads);
  add_amp(app, options.amp, options.amp == AmpChoice::kUnasked ? "off, on a GPU with bf16 bf16" : "off");
  app.add_flag("--tf32", options.gpu.tf32, "A GPU multiplies floats with 10 bits of each factor, several times faster");
  app.add_flag("--deterministic", options.gpu.deterministic,
               "A GPU gives the same numbers in each run, at the price of its fastest algorithms");
  add_switch(app, "channels-last", options.channels_last,
             "Keep tensors in channels-last order, the faster one (the default)",
             "Keep them in LibTorch's usual order");
  app.add_option_function<int64_t>(
         "--collective-timeout",
         [&options](int64_t seconds) { options.collective_timeout = std::chrono::seconds(seconds); },
         "Seconds after which a rank that takes no part ends the run by name")
      ->transform(WholeNumber(1, 1000000))
      ->type_name("S")
      ->default_str(std::to_string(options.collective_timeout.count()));
}

void add_recipe_options(CLI::App& app, TrainOptions& options) {
  app.option_defaults()->group("Recipe");
  app.add_option("--epochs", options.epochs, "Passes over the training set")->transform(WholeNumber(1));
  app.add_option("--batch-size", options.batch_size, "Pictures in a step of the whole job; divided among the ranks")
      ->transform(WholeNumber(1, kMostPictures));
  app.add_option("--lr", options.lr, "Learning rate")->transform(RealNumber(0));
  add_choice<ScheduleChoice>(
      app, "--scheduler", options.schedule,
      {{"step", ScheduleChoice::kStep}, {"cosine", ScheduleChoice::kCosine}, {"plateau", ScheduleChoice::kPlateau}},
      "How the learning rate falls: in steps, along half a cosine until the last epoch, or when "
      "--monitor no longer improves (default: step)");
  app.add_option("--step-size", options.step_size, "step: epochs between two reductions")->transform(WholeNumber(1));
  app.add_option("--gamma", options.gamma, "step and plateau: factor of each reduction")->transform(RealNumber(0));
  app.add_option("--plateau-patience", options.plateau_patience,
                 "plateau: epochs without a better one before a reduction")
      ->transform(WholeNumber(0));
  app.add_option("--min-lr", options.min_lr, "cosine and plateau: the rate at which the fall ends")
      ->transform(RealNumber(0));
  app.add_option("--warmup", options.warmup,
                 "Epochs in which the learning rate rises from a third to the whole, before the schedule")
      ->transform(WholeNumber(0));
  app.add_option("--accumulate", options.accumulate, "Batches whose gradients add up to one step of the optimizer")
      ->transform(WholeNumber(1, kMostPictures));
  add_choice<Monitor>(app, "--monitor", options.monitor,
                      {{"val_accuracy", Monitor::kAccuracy}, {"val_loss", Monitor::kLoss}, {"val_f1", Monitor::kF1}},
                      "What makes an epoch the best (default: val_accuracy)");
  app.add_option("--min-delta", options.min_delta, "How much better than the best an epoch must be to count as better")
      ->transform(RealNumber(0));
  app.add_option("--patience", options.patience, "Epochs without a better one (--monitor) before stopping; 0: never")
      ->transform(WholeNumber(0));
  add_seed(app, options.seed, "Of weights, order and augmentation");
  add_choice<OptimizerChoice>(
      app, "--optimizer", options.optimizer,
      {{"adam", OptimizerChoice::kAdam}, {"adamw", OptimizerChoice::kAdamW}, {"sgd", OptimizerChoice::kSgd}},
      "Adam, Adam with decoupled weight decay, or SGD with momentum (default: adam)");
  app.add_option("--momentum", options.momentum, "Of sgd")->transform(RealNumber(0));
  app.add_flag("--nesterov", options.nesterov, "Nesterov's momentum, of sgd");
  app.add_option("--weight-decay", options.weight_decay, "Of every step (default: 0.01 for adamw, else 0)")
      ->transform(RealNumber(0));
}

void add_loss_options(CLI::App& app, TrainOptions& options) {
  app.option_defaults()->group("Recipe");
  app.add_option("--clip-grad", options.clip_grad, "Largest norm of a step's gradients; 0: no limit")
      ->transform(RealNumber(0));
  app.add_option("--ema", options.ema,
                 "Decay of a moving average of the weights, which is validated and saved as the best model; 0: none")
      ->transform(RealNumber(0, 1));
  app.add_option("--label-smoothing", options.label_smoothing, "Share of a label that goes to all classes alike")
      ->transform(RealNumber(0, 1));
  add_choice<ClassWeights>(app, "--class-weights", options.class_weights,
                           {{"none", ClassWeights::kNone}, {"balanced", ClassWeights::kBalanced}},
                           "balanced: rare classes count as much as frequent ones (default: none)");
  app.add_option("--weights", options.weights,
                 "Begin with the weights of a checkpoint or state_dict, of the worker or of Python")
      ->transform(GivenPath())
      ->type_name("FILE");
  app.add_flag_callback(
      "--no-strict", [&options] { options.strict = false; },
      "Weights that are missing in it stay as they were drawn, unexpected ones are left out; both are listed");
}

void add_step_options(CLI::App& app, TrainOptions& options) {
  app.option_defaults()->group("Device and speed");
  add_choice<GraphChoice>(
      app, "--cuda-graph", options.cuda_graph,
      {{"auto", GraphChoice::kAuto}, {"on", GraphChoice::kOn}, {"off", GraphChoice::kOff}},
      "Record a step's passes and start them by one call; auto: on a GPU, where one rank trains (default: auto)");
  app.add_option("--read-every", options.read_every,
                 "Steps whose loss is read at once; above 1 no step waits for its own (default: 1, on a GPU 20)")
      ->transform(WholeNumber(1, kMostPictures))
      ->default_str("")
      ->type_name("N");
}

void add_output_options(CLI::App& app, TrainOptions& options) {
  app.option_defaults()->group("Checkpoints and output");
  app.add_option(
         "--output-dir", options.output_dir,
         "For last_model.pt, best_model.pt, metrics.csv, accuracy_and_loss.png (default: a new directory in runs/)")
      ->transform(GivenPath())
      ->type_name("DIR");
  app.add_option(
         "--resume", options.resume,
         "Continue from a checkpoint, a directory that holds one, or (alone) the one in --output-dir; auto: from that "
         "one if it is there, else begin")
      ->expected(0, 1)
      ->option_text("[PATH|auto]");
  app.add_flag("--overwrite", options.overwrite, "Start afresh although --output-dir holds a checkpoint");
  app.add_option("--save-every", options.save_every,
                 "Steps between two checkpoints within an epoch (default: only at its end)")
      ->transform(WholeNumber(0))
      ->default_str("");
}

std::string version_text() {
  const std::filesystem::path plugin = find_cuda_plugin();
  return "worker " FERRUN_VERSION "\nCUDA plug-in: " +
         (plugin.empty() ? "none (" + why_no_cuda_plugin() + ")" : plugin.lexically_normal().string()) + "\n";
}

// Fills `command` from the arguments; an Answer when help was asked for.
Result<Command> parse(CliApp& app, const Arguments& arguments, const auto& options) {
  Arguments reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    return Command(Answer{app.help_text()});
  } catch (const CLI::CallForVersion&) {
    return Command(Answer{version_text()});
  } catch (const CLI::ParseError& error) {
    return Error{ErrorKind::kUsage, app.explain(error) + " ('" + app.get_name() + " --help' lists the options)"};
  }
  return Command(options);
}

// Options that contradict each other.
Status check_together(const TrainOptions& options) {
  const bool if_there = options.resume && *options.resume == kResumeIfThere;
  const bool resumes_own = options.resume && (options.resume->empty() || if_there);
  if (resumes_own && options.output_dir.empty()) {
    return usage_error(if_there ? "--resume=auto: give --output-dir, where the checkpoint is or will be"
                                : "--resume: name a checkpoint or a directory, or give --output-dir");
  }
  if (resumes_own && options.overwrite) {
    return usage_error("--resume continues what is in --output-dir, --overwrite starts afresh: give one of them");
  }
  if (options.ema >= 1) {
    return usage_error(
        "--ema: with a decay of 1 the average would be the first weights for ever; usual are 0.99 to 0.9999");
  }
  if (!options.strict && options.weights.empty()) return usage_error("--no-strict is about --weights: give it too");
  return ok_status();
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
  add_compute_options(app, options);
  add_step_options(app, options);
  add_output_options(app, options);
  Result<Command> command = parse(app, arguments, options);
  if (TrainOptions* const parsed = command ? std::get_if<TrainOptions>(&*command) : nullptr) {
    for (const CLI::Option* option : app.get_options()) {
      if (option->count() > 0) parsed->given.insert(option->get_name().substr(2));
    }
  }
  settle_data<TrainOptions>(transforms, command);
  if (command && std::holds_alternative<TrainOptions>(*command)) {
    if (Status together = check_together(options); !together) return together.error();
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
      ->type_name("")
      ->default_str("");
  app.add_option("--checkpoint", options.checkpoint, "A checkpoint of the worker or of the Python trainer")
      ->required()
      ->type_name("FILE");
  app.add_option("--classes", options.classes, "Class names, for a checkpoint without them")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("A,B,...")
      ->default_str("");
  app.add_option("--image-size", options.image_size,
                 "Pixels of a picture's side, a multiple of 32 (default: the checkpoint's, else 224)")
      ->transform(WholeNumber(1, kLargestSide));
  app.add_option("--top-k", options.top_k,
                 "Only the N most probable classes, best first (default: all, in their order)")
      ->transform(WholeNumber(1, kMostPictures))
      ->default_str("");
  const CLI::Option* const json = app.add_flag_callback(
      "--json", [&options] { options.format = PredictFormat::kJson; },
      "Print an array of {\"file\", \"probabilities\": {class: p}}");
  const CLI::Option* const csv = app.add_flag_callback(
      "--csv", [&options] { options.format = PredictFormat::kCsv; }, "Print a header and a line for each picture");
  app.add_option("--batch-size", options.batch_size, "Pictures that are computed together")
      ->transform(WholeNumber(1, kMostPictures));
  app.add_option("--num-workers", options.num_workers, "Threads that read pictures; 0: read between batches")
      ->transform(WholeNumber(0, 256));
  add_decode_options(app, options.max_pixels, options.exif_orientation, "the checkpoint's, else as stored");
  add_device_options(app, options.device, options.threads);
  // Otherwise `--classes a,b x.png` would take x.png for a class.
  app.get_option("--classes")->expected(1)->allow_extra_args(false);
  Result<Command> command = parse(app, arguments, options);
  if (command && json->count() > 0 && csv->count() > 0) return usage_error("--json and --csv: give one of them");
  return command;
}

Result<Command> parse_eval(const Arguments& arguments) {
  CliApp app("Prints loss, accuracy and F1 of a checkpoint on a folder of pictures, or on a part of a data set.",
             "worker eval");
  EvalOptions options;
  app.add_option("--checkpoint", options.checkpoint, "A checkpoint of the worker or of the Python trainer")
      ->required()
      ->type_name("FILE");
  app.add_option("--batch-size", options.batch_size, "Pictures in a step of the whole job")
      ->transform(WholeNumber(1, kMostPictures));
  TransformsRequest transforms;
  add_data_options(app, options.data, transforms);
  add_choice<DataPart>(app, "--part", options.part,
                       {{"test", DataPart::kTest}, {"train", DataPart::kTrain}, {"val", DataPart::kValidation}},
                       "Of a data set with train/, of --split's shares, or of drawn faces (default: val)");
  add_compute_options(app, options);
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
  app.add_option("--image-size", options.image_size, "Pixels of a picture's side")->transform(WholeNumber(16, 1024));
  app.add_option("--faces", options.faces_per_class, "Training faces per class; a fifth of it to validate")
      ->transform(WholeNumber(1, kMostPictures));
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
