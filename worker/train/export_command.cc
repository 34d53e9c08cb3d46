#include <cstdio>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
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

// What prediction needs besides the weights, as texts: safetensors' metadata, TorchScript's extra files.
std::map<std::string, std::string> facts_of(const LoadedModel& loaded) {
  std::map<std::string, std::string> facts;
  if (!loaded.classes.empty()) {
    facts["classes"] = nlohmann::json(loaded.classes).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  }
  if (loaded.image_size) facts["image_size"] = std::to_string(*loaded.image_size);
  return facts;
}

Status write(const ExportOptions& options, const LoadedModel& loaded) {
  std::map<std::string, std::string> facts = facts_of(loaded);
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
  std::printf("%s: %lld classes, %llu bytes\n", options.output.c_str(), static_cast<long long>(loaded->outputs),
              static_cast<unsigned long long>(std::filesystem::file_size(options.output, error)));
  return Ending::success();
}

}  // namespace ferrun::train
