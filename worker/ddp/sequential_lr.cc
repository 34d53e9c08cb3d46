#include "worker/ddp/sequential_lr.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>

#include "worker/ddp/schedule_state.h"
#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;
using ScheduleParts = std::vector<std::unique_ptr<LrSchedule>>;

const ScheduleParts& checked(const ScheduleParts& parts) {
  TORCH_CHECK(!parts.empty(), "a schedule of no schedules");
  for (const auto& part : parts) {
    TORCH_CHECK(part->initial_lrs() == parts.front()->initial_lrs(),
                "the parts of a schedule have different initial rates");
  }
  return parts;
}

std::string joined_names(const ScheduleParts& parts, const char* joint) {
  std::string names;
  for (const auto& part : parts) names += (names.empty() ? "" : joint) + part->name();
  return names;
}

bool any_watches_metric(const ScheduleParts& parts) {
  return std::any_of(parts.begin(), parts.end(), [](const auto& part) { return part->watches_metric(); });
}

List states_of(const ScheduleParts& parts) {
  List states;
  for (const auto& part : parts) states.push_back(part->state_dict());
  return states;
}

// Python's parts write into the optimizer's group one after the other.
Dict entries_of(const ScheduleParts& parts, size_t group) {
  Value all = Dict{};
  for (const auto& part : parts) {
    for (const auto& [key, value] : part->group_entries(group)) {
      if (all.find(*key.get<std::string>()) == nullptr) all.get<Dict>()->emplace_back(key, value);
    }
  }
  return *all.get<Dict>();
}

Status load_parts(const Value& state, ScheduleParts& parts) {
  const List& states = *items(state.find("_schedulers"));
  for (size_t i = 0; i < parts.size(); ++i) {
    if (Status loaded = parts[i]->load_state_dict(states[i]); !loaded) return loaded;
  }
  return ok_status();
}

}  // namespace

// As PyTorch's constructors leave it: each part has seen the rates that the one before made of its first step, which is
// undone for all but the first.
SequentialLr::SequentialLr(ScheduleParts parts, std::vector<int64_t> milestones)
    : LrSchedule(checked(parts).front()->initial_lrs()), parts_(std::move(parts)), milestones_(std::move(milestones)) {
  TORCH_CHECK(milestones_.size() + 1 == parts_.size(), parts_.size(), " schedules need ", parts_.size() - 1,
              " milestones, not ", milestones_.size());
  for (const auto& part : parts_) {
    TORCH_CHECK(dynamic_cast<SequentialLr*>(part.get()) == nullptr && dynamic_cast<ChainedLr*>(part.get()) == nullptr,
                "a SequentialLr of ", part->name());
    part->lrs_ = lrs_;
    part->enter();
    lrs_ = part->lrs_;
    part->last_epoch_ = -1;
  }
  SequentialLr::enter();
}

void SequentialLr::enter() {
  last_epoch_ = 0;
  parts_.front()->lrs_ = initial_lrs_;
  parts_.front()->enter();
  lrs_ = parts_.front()->lrs_;
  momentums_ = parts_.front()->momentums_;
}

std::string SequentialLr::name() const { return joined_names(parts_, ", then "); }
bool SequentialLr::watches_metric() const { return any_watches_metric(parts_); }

size_t SequentialLr::current() const {
  const auto past = std::upper_bound(milestones_.begin(), milestones_.end(), last_epoch_);
  return static_cast<size_t>(past - milestones_.begin());
}

void SequentialLr::step(double metric) {
  ++last_epoch_;
  const size_t index = current();
  LrSchedule& part = *parts_[index];
  part.lrs_ = lrs_;
  if (index > 0 && milestones_[index - 1] == last_epoch_) {
    part.begin();
  } else {
    part.step(metric);
  }
  lrs_ = part.lrs_;
  if (!part.momentums_.empty()) momentums_ = part.momentums_;
}

void SequentialLr::continue_at(int64_t epoch, double lr) {
  LrSchedule::continue_at(epoch, lr);
  const size_t index = current();
  parts_[index]->continue_at(index == 0 ? epoch : epoch - milestones_[index - 1], lr);
}

Dict SequentialLr::group_entries(size_t group) const { return entries_of(parts_, group); }

Value SequentialLr::state_dict() const {
  List milestones(milestones_.begin(), milestones_.end());
  return Dict{{"_milestones", std::move(milestones)},
              {"last_epoch", last_epoch_},
              {"_last_lr", number_list(lrs_)},
              {"_schedulers", states_of(parts_)}};
}

Status SequentialLr::load_state_dict(const Value& state) {
  const List* const parts = items(state.find("_schedulers"));
  auto lrs = group_numbers(state, "_last_lr", lrs_.size()),
       milestones = group_numbers(state, "_milestones", milestones_.size());
  const auto epoch = integer(state, "last_epoch");
  if (!is_state_of_schedule(state, name()) || parts == nullptr || parts->size() != parts_.size() || !lrs ||
      !milestones || !epoch || *epoch < 0) {
    return schedule_mismatch(state, name(), lrs_.size());
  }
  if (Status loaded = load_parts(state, parts_); !loaded) return loaded;
  milestones_.assign(milestones->begin(), milestones->end());
  last_epoch_ = *epoch;
  lrs_ = std::move(*lrs);
  initial_lrs_ = parts_.front()->initial_lrs();
  momentums_ = parts_[current()]->momentums();
  return ok_status();
}

ChainedLr::ChainedLr(ScheduleParts parts)
    : LrSchedule(checked(parts).front()->initial_lrs()), parts_(std::move(parts)) {
  for (const auto& part : parts_) {
    part->lrs_ = lrs_;
    part->enter();
    lrs_ = part->lrs_;
    if (!part->momentums_.empty()) momentums_ = part->momentums_;
  }
}

std::string ChainedLr::name() const { return joined_names(parts_, " with "); }
bool ChainedLr::watches_metric() const { return any_watches_metric(parts_); }

void ChainedLr::step(double metric) {
  ++last_epoch_;
  for (const auto& part : parts_) {
    part->lrs_ = lrs_;
    part->step(metric);
    lrs_ = part->lrs_;
    if (!part->momentums_.empty()) momentums_ = part->momentums_;
  }
}

void ChainedLr::continue_at(int64_t epoch, double lr) {
  LrSchedule::continue_at(epoch, lr);
  for (const auto& part : parts_) part->continue_at(epoch, lr);
}

Dict ChainedLr::group_entries(size_t group) const { return entries_of(parts_, group); }

Value ChainedLr::state_dict() const {
  return Dict{{"_last_lr", number_list(lrs_)}, {"_schedulers", states_of(parts_)}};
}

Status ChainedLr::load_state_dict(const Value& state) {
  const List* const parts = items(state.find("_schedulers"));
  auto lrs = group_numbers(state, "_last_lr", lrs_.size());
  if (!is_state_of_schedule(state, name()) || parts == nullptr || parts->size() != parts_.size() || !lrs) {
    return schedule_mismatch(state, name(), lrs_.size());
  }
  if (Status loaded = load_parts(state, parts_); !loaded) return loaded;
  lrs_ = std::move(*lrs);
  initial_lrs_ = parts_.front()->initial_lrs();
  last_epoch_ = parts_.front()->last_epoch();
  momentums_ = parts_.back()->momentums();
  return ok_status();
}

}  // namespace ferrun::ddp
