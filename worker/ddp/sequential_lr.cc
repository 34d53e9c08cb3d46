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

size_t part_at(const std::vector<int64_t>& milestones, int64_t epoch) {
  return static_cast<size_t>(std::ranges::upper_bound(milestones, epoch) - milestones.begin());
}

// Fills up a state's list of numbers by group.
void fill_up(Value& state, const char* key, const std::vector<double>& rates) {
  Value* const saved = state.find(key);
  List* const known = saved == nullptr ? nullptr : saved->get<List>();
  for (size_t group = known == nullptr ? rates.size() : known->size(); group < rates.size(); ++group) {
    known->emplace_back(rates[group]);
  }
}

// A part that was not stepped since a group was added to the optimizer has no rate for it, and takes `lrs`' then; those
// before `live` are not stepped again, and their initial rates mean nothing.
Status load_parts(const Value& state, const std::vector<double>& lrs, size_t live, ScheduleParts& parts) {
  const List& states = *items(state.find("_schedulers"));
  for (size_t i = 0; i < parts.size(); ++i) {
    Value part = states[i];
    fill_up(part, "_last_lr", lrs);
    if (i < live) fill_up(part, "base_lrs", lrs);
    if (Status loaded = parts[i]->load_state_dict(part); !loaded) return loaded;
  }
  return ok_status();
}

void check_no_group_was_added(const LrSchedule& part, size_t groups, int64_t milestone) {
  TORCH_CHECK(part.initial_lrs().size() == groups, "SequentialLR cannot go over to ", part.name(), " at its milestone ",
              milestone, ", in PyTorch neither: a parameter group that was added to the optimizer has no initial rate");
}

}  // namespace

// As PyTorch's constructors leave it: each part has seen the rates that the one before made of its first step, which is
// undone for all but the first.
SequentialLr::SequentialLr(ScheduleParts parts, std::vector<int64_t> milestones)
    : LrSchedule(checked(parts).front()->initial_lrs()), parts_(std::move(parts)), milestones_(std::move(milestones)) {
  TORCH_CHECK(milestones_.size() + 1 == parts_.size(), parts_.size(), " schedules need ", parts_.size() - 1,
              " milestones, not ", milestones_.size());
  TORCH_CHECK(std::ranges::is_sorted(milestones_), "SequentialLR's milestones are not in order");
  TORCH_CHECK(milestones_.empty() || milestones_.front() > 0, "SequentialLR's first part has no step before milestone ",
              milestones_.front());
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

size_t SequentialLr::current() const { return part_at(milestones_, last_epoch_); }

void SequentialLr::step(double metric) {
  ++last_epoch_;
  const size_t index = current();
  LrSchedule& part = *parts_[index];
  part.lrs_ = lrs_;
  if (index > 0 && milestones_[index - 1] == last_epoch_) {
    check_no_group_was_added(part, lrs_.size(), last_epoch_);
    part.begin();
  } else {
    part.step(metric);
  }
  lrs_ = part.lrs_;
  if (!part.momentums_.empty()) momentums_ = part.momentums_;
}

void SequentialLr::add_group(double lr) {
  for (size_t next = current(); next < milestones_.size(); ++next) {
    check_no_group_was_added(*parts_[next + 1], lrs_.size() + 1, milestones_[next]);
  }
  parts_[current()]->add_group(lr);
  lrs_.push_back(lr);
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
  const std::vector<int64_t> saved_milestones(milestones->begin(), milestones->end());
  if (Status loaded = load_parts(state, *lrs, part_at(saved_milestones, *epoch), parts_); !loaded) return loaded;
  milestones_ = saved_milestones;
  last_epoch_ = *epoch;
  lrs_ = std::move(*lrs);
  initial_lrs_ = parts_[current()]->initial_lrs();
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

void ChainedLr::add_group(double lr) {
  for (const auto& part : parts_) {
    TORCH_CHECK(part->takes_added_groups(), part->name(),
                " has no rate for a parameter group that is added to the optimizer, in PyTorch neither");
  }
  for (const auto& part : parts_) part->add_group(lr);
  lrs_.push_back(lr);
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
  if (Status loaded = load_parts(state, *lrs, 0, parts_); !loaded) return loaded;
  lrs_ = std::move(*lrs);
  initial_lrs_ = parts_.front()->initial_lrs();
  last_epoch_ = parts_.front()->last_epoch();
  momentums_ = parts_.back()->momentums();
  return ok_status();
}

}  // namespace ferrun::ddp
