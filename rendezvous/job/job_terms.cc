#include "rendezvous/job/job_terms.h"

#include <algorithm>
#include <array>

#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

constexpr size_t kMostTerms = 64;  // whatever peers say
constexpr size_t kMostRemarks = 64;

constexpr std::array<std::string_view, 2> kRequired = {"--nnodes", "--max-restarts"};
// By which the coordinator alone decides. Everything else concerns each node itself.
constexpr std::array<std::string_view, 4> kCoordinators = {"--min-uptime", "--on-exit", "--restart-delay",
                                                           "--scale-interval"};
constexpr std::string_view kCoordinatorsSettings = "--rdzv-conf ";
// May differ, and is a mistake more often than not.
constexpr std::string_view kProgram = "the program";

bool is_required(std::string_view name) { return std::ranges::find(kRequired, name) != kRequired.end(); }

bool is_coordinators(std::string_view name) {
  return std::ranges::find(kCoordinators, name) != kCoordinators.end() || name.starts_with(kCoordinatorsSettings);
}

std::string shown_value(const std::string& value) { return value.empty() ? "not set" : plain_text(value); }

std::string value_of(const std::vector<Term>& terms, std::string_view name) {
  const auto found = std::ranges::find(terms, name, &Term::name);
  return found == terms.end() ? "" : found->value;
}

}  // namespace

std::vector<Term> required_terms(const std::vector<Term>& terms) {
  std::vector<Term> required = terms;
  std::erase_if(required, [](const Term& term) { return !is_required(term.name); });
  return required;
}

std::optional<std::string> required_difference(const std::vector<Term>& first, const std::string& where_first,
                                               const std::vector<Term>& second, const std::string& where_second) {
  for (const Term& term : required_terms(first)) {
    const std::string other = value_of(second, term.name);
    if (term.value.empty() || other.empty() || term.value == other) continue;
    return plain_text(term.name) + " is " + shown_value(term.value) + " " + where_first + " and " + shown_value(other) +
           " " + where_second;
  }
  return std::nullopt;
}

JobTerms::JobTerms(const std::vector<Term>& terms, const std::string& origin) { adopt(terms, origin); }

std::optional<std::string> JobTerms::disagreement(const std::vector<Term>& terms) const {
  for (const auto& [name, ours] : values_) {
    if (ours.text.empty() || !is_required(name)) continue;
    const std::string value = value_of(terms, name);
    if (value == ours.text) continue;
    return plain_text(name) + " is " + shown_value(ours.text) + " on " + ours.origin + " and " + shown_value(value) +
           " here";
  }
  return std::nullopt;
}

std::vector<JobTerms::Remark> JobTerms::adopt(const std::vector<Term>& terms, const std::string& origin) {
  std::vector<Remark> remarks;
  for (const Term& term : terms) {
    if (values_.size() >= kMostTerms && !values_.contains(term.name)) continue;
    Value& value = values_[term.name];
    if (value.text.empty()) value = {term.value, origin};
    if (value.text == term.value || term.value.empty() || told_.size() >= kMostRemarks) continue;
    const bool decides = is_coordinators(term.name);
    std::string line = plain_text(term.name) + " is " + shown_value(value.text) + " on " + value.origin +
                       (decides ? ", which decides, and " : " and ") + shown_value(term.value) + " on " + origin;
    if (told_.insert(line).second) remarks.push_back({std::move(line), decides || term.name == kProgram});
  }
  return remarks;
}

std::vector<Term> JobTerms::list() const {
  std::vector<Term> terms;
  for (const auto& [name, value] : values_) terms.push_back({name, value.text});
  return terms;
}

}  // namespace ferrun
