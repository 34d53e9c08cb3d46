#include "worker/ddp/step_lr.h"

namespace ferrun::ddp {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

Value StepLr::state_dict() const {
  return Dict{{"step_size", step_size_},
              {"gamma", gamma_},
              {"base_lrs", List{initial_lr_}},
              {"last_epoch", last_epoch_},
              {"_step_count", last_epoch_ + 1},
              {"_is_initial", false},
              {"_get_lr_called_within_step", false},
              {"_last_lr", List{lr_}}};
}

Status StepLr::load_state_dict(const Value& state) {
  const auto real = [&](const char* key) -> const double* {
    const Value* value = state.find(key);
    const List* list = value == nullptr ? nullptr : value->get<List>();
    if (list != nullptr) return list->size() == 1 ? list->front().get<double>() : nullptr;
    return value == nullptr ? nullptr : value->get<double>();
  };
  const auto integer = [&](const char* key) -> const int64_t* {
    const Value* value = state.find(key);
    return value == nullptr ? nullptr : value->get<int64_t>();
  };
  const double* initial = real("base_lrs");
  const double* last = real("_last_lr");
  const double* gamma = real("gamma");
  const int64_t* step_size = integer("step_size");
  const int64_t* epoch = integer("last_epoch");
  if (initial == nullptr || last == nullptr || gamma == nullptr || step_size == nullptr || epoch == nullptr ||
      *step_size < 1 || *epoch < 0) {
    return Error{ErrorKind::kUser, "the scheduler state is no StepLR's for one parameter group"};
  }
  *this = StepLr(*initial, *step_size, *gamma);
  lr_ = *last;
  last_epoch_ = *epoch;
  return ok_status();
}

}  // namespace ferrun::ddp
