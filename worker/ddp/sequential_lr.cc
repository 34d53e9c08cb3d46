#include "worker/ddp/sequential_lr.h"

#include <cmath>

#include "worker/ddp/schedule_state.h"
#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

LinearLr::LinearLr(double initial_lr, double start_factor, int64_t epochs)
    : LrSchedule(initial_lr), start_factor_(start_factor), epochs_(epochs) {
  begin();
}

void LinearLr::step(double /*metric*/) {
  ++last_epoch_;
  if (last_epoch_ > epochs_) return;
  const double rise = end_factor_ - start_factor_;
  const auto epochs = static_cast<double>(epochs_), before = static_cast<double>(last_epoch_ - 1);
  lr_ = lr_ * (1.0 + rise / (epochs * start_factor_ + before * rise));
}

void LinearLr::begin() { continue_at(0, initial_lr_ * start_factor_); }

Value LinearLr::state_dict() const {
  Dict state{{"start_factor", start_factor_}, {"end_factor", end_factor_}, {"total_iters", epochs_}};
  add_position(state, {initial_lr_, lr_, last_epoch_});
  return state;
}

Status LinearLr::load_state_dict(const Value& state) {
  const auto position = read_position(state);
  const auto start_factor = number(state, "start_factor"), end_factor = number(state, "end_factor");
  const auto epochs = integer(state, "total_iters");
  if (!position || !start_factor || !(*start_factor > 0) || !end_factor || !epochs || *epochs < 1) {
    return schedule_mismatch(state, name());
  }
  initial_lr_ = position->initial_lr;
  continue_at(position->last_epoch, position->lr);
  start_factor_ = *start_factor;
  end_factor_ = *end_factor;
  epochs_ = *epochs;
  return ok_status();
}

// As PyTorch's constructors leave it: the second schedule's first step is undone, but it has seen the first one's rate.
SequentialLr::SequentialLr(LinearLr first, std::unique_ptr<LrSchedule> second, int64_t milestone)
    : LrSchedule(first.initial_lr()), first_(std::move(first)), second_(std::move(second)), milestone_(milestone) {
  lr_ = first_.lr();
  second_->continue_at(second_->last_epoch() - 1, lr_);
}

LrSchedule& SequentialLr::current() { return last_epoch_ < milestone_ ? static_cast<LrSchedule&>(first_) : *second_; }

void SequentialLr::step(double metric) {
  ++last_epoch_;
  if (last_epoch_ == milestone_) {
    second_->begin();
  } else {
    current().step(metric);
  }
  lr_ = current().lr();
}

void SequentialLr::continue_at(int64_t epoch, double lr) {
  last_epoch_ = epoch;
  lr_ = lr;
  current().continue_at(epoch < milestone_ ? epoch : epoch - milestone_, lr);
}

void SequentialLr::begin() {
  last_epoch_ = 0;
  first_.begin();
  lr_ = first_.lr();
}

Value SequentialLr::state_dict() const {
  return Dict{{"_milestones", List{milestone_}},
              {"last_epoch", last_epoch_},
              {"_last_lr", List{lr_}},
              {"_schedulers", List{first_.state_dict(), second_->state_dict()}}};
}

Status SequentialLr::load_state_dict(const Value& state) {
  const List* parts = items(state.find("_schedulers"));
  const auto lr = only_number(state, "_last_lr"), milestone = only_number(state, "_milestones");
  const auto epoch = integer(state, "last_epoch");
  if (schedule_of(state) != name() || parts->size() != 2 || !lr || !std::isfinite(*lr) || !milestone ||
      !(*milestone >= 1) || !epoch || *epoch < 0) {
    return schedule_mismatch(state, name());
  }
  LinearLr first = first_;
  if (Status loaded = first.load_state_dict((*parts)[0]); !loaded) return loaded;
  if (Status loaded = second_->load_state_dict((*parts)[1]); !loaded) return loaded;
  first_ = first;
  milestone_ = static_cast<int64_t>(*milestone);
  last_epoch_ = *epoch;
  lr_ = *lr;
  initial_lr_ = first_.initial_lr();
  return ok_status();
}

}  // namespace ferrun::ddp
