#include "worker/ddp/checkpoint_saver.h"

#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "worker/checkpoint/writer.h"

namespace ferrun::ddp {
namespace {

// Where the tensors lie that nothing but the optimizer's step changes: its parameters and its own.
std::set<const void*> changed_by_step(const Optimizer& optimizer, const checkpoint::Value& content,
                                      const CheckpointKeys& keys) {
  std::set<const void*> memory;
  for (const at::Tensor& parameter : optimizer.parameters()) memory.insert(parameter.const_data_ptr());
  checkpoint::for_each_tensor(*content.find(keys.optimizer),
                              [&](const at::Tensor& tensor) { memory.insert(tensor.const_data_ptr()); });
  return memory;
}

}  // namespace

CheckpointSaver::CheckpointSaver(std::string folder, SaverOptions options)
    : folder_(std::move(folder)), options_(std::move(options)), writer_(options_.wait) {}

Status CheckpointSaver::prepare() {
  if (prepared_) return ok_status();
  std::error_code failed;
  std::filesystem::create_directories(folder_, failed);
  if (failed) return Error{ErrorKind::kUser, "cannot make the folder " + folder_ + ": " + failed.message()};
  entries_ = checkpoint::read_folder(folder_);
  prepared_ = true;
  return ok_status();
}

Status CheckpointSaver::save(int64_t step, const CheckpointParts& parts, const checkpoint::Dict& more,
                             std::optional<double> metric) {
  if (Status ready = prepare(); !ready) return ready;
  Result<checkpoint::Dict> content = checkpoint_content(parts, options_.keys);
  if (!content) return content.error();
  content->insert(content->end(), more.begin(), more.end());
  const std::string name = checkpoint::checkpoint_name(step), path = folder_ + "/" + name;
  const auto add = [this, entry = checkpoint::FolderEntry{name, step, metric}] {
    return checkpoint::add_to_folder(
        folder_, entry,
        {.last = options_.keep_last, .best = options_.keep_best, .lower_is_better = options_.lower_is_better},
        entries_);
  };
  if (options_.asynchronous) {
    if (parts.optimizer == nullptr) return writer_.write(path, std::move(*content), {}, add);
    const std::set<const void*> changed = changed_by_step(*parts.optimizer, *content, options_.keys);
    auto wait = writer_.write_later(
        path, std::move(*content),
        [&](const at::Tensor& tensor) { return changed.count(tensor.const_data_ptr()) != 0; }, {}, add);
    if (!wait) return wait.error();
    snapshot_ = *wait;
    parts.optimizer->wait_before_change(std::move(*wait));
    return ok_status();
  }
  Status written = checkpoint::write_atomically(path, std::move(*content));
  return written ? add() : written;
}

void CheckpointSaver::wait_for_snapshot() {
  if (snapshot_) std::exchange(snapshot_, nullptr)();
}

Status CheckpointSaver::finish() { return writer_.finish(); }

}  // namespace ferrun::ddp
