#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>

#include "worker/checkpoint/module_state.h"
#include "worker/checkpoint/writer.h"
#include "worker/model/torchscript.h"
#include "worker/report/output_file.h"
#include "worker/train/commands.h"
#include "worker/train/loaded_model.h"

namespace ferrun::train {
namespace {

Status write(const ExportOptions& options, const LoadedModel& loaded) {
  std::map<std::string, std::string> facts = loaded.facts();
  switch (options.format) {
    case ExportFormat::kStateDict:
      return checkpoint::write_atomically(options.output, checkpoint::module_state(*loaded.model));
    case ExportFormat::kSafetensors:
      facts["format"] = "pt";  // which Python's readers ask for
      return checkpoint::write_safetensors_atomically(options.output, checkpoint::module_state(*loaded.model), facts);
    case ExportFormat::kTorchScript:
      return report::write_file(options.output, model::torchscript_archive(loaded.model, facts));
  }
  return ok_status();
}

// How a program that uses the file has to prepare its pictures, and whether the file says so itself.
std::string preparation(const ExportOptions& options, const LoadedModel& loaded) {
  if (!loaded.image_size) {
    return "note: the checkpoint does not say how its pictures were prepared, so this file cannot either";
  }
  std::map<std::string, std::string> facts = loaded.facts();
  const std::string how =
      facts["transforms"] +
      (loaded.exif_orientation.value_or(false) ? ", of pictures that are turned upright as their EXIF data says" : "");
  switch (options.format) {
    case ExportFormat::kStateDict: return "note: a state_dict holds weights alone; its pictures are prepared by " + how;
    case ExportFormat::kSafetensors: return "its metadata say how pictures are prepared: " + how;
    case ExportFormat::kTorchScript: return "its extra files say how pictures are prepared: " + how;
  }
  return "";
}

}  // namespace

Ending run_export(const ExportOptions& options) {
  std::error_code error;
  if (std::filesystem::is_directory(options.output, error)) {
    return Ending::failure(usage_error(options.output + " is a folder: name the file to write"));
  }
  if (!options.overwrite && std::filesystem::exists(std::filesystem::symlink_status(options.output, error))) {
    return Ending::failure(usage_error(options.output + " is there already: --overwrite replaces it"));
  }
  const Result<LoadedModel> loaded = load_model(options.checkpoint);
  if (!loaded) return Ending::failure(loaded.error());
  if (const Status wrote = write(options, *loaded); !wrote) return Ending::failure(wrote.error());
  std::printf("%s: %lld classes, %llu bytes\n%s\n", options.output.c_str(), static_cast<long long>(loaded->outputs),
              static_cast<unsigned long long>(std::filesystem::file_size(options.output, error)),
              preparation(options, *loaded).c_str());
  return Ending::success();
}

}  // namespace ferrun::train
