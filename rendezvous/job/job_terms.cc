#include "rendezvous/job/job_terms.h"

#include <algorithm>

#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

constexpr size_t kMostTerms = 64;  // whatever peers say

std::string quoted(const std::string& value) { return value.empty() ? "not set" : plain_text(value); }

}  // namespace

JobTerms::JobTerms(const std::vector<Term>& terms, const std::string& origin) { adopt(terms, origin); }

std::optional<std::string> JobTerms::disagreement(const std::vector<Term>& terms) const {
  for (const auto& [name, ours] : values_) {
    if (ours.text.empty()) continue;
    const auto theirs = std::ranges::find(terms, name, &Term::name);
    const std::string value = theirs == terms.end() ? "" : theirs->value;
    if (value == ours.text) continue;
    return plain_text(name) + " is " + quoted(ours.text) + " on " + ours.origin + " and " + quoted(value) + " here";
  }
  return std::nullopt;
}

void JobTerms::adopt(const std::vector<Term>& terms, const std::string& origin) {
  for (const Term& term : terms) {
    if (values_.size() >= kMostTerms && !values_.contains(term.name)) continue;
    Value& value = values_[term.name];
    if (value.text.empty()) value = {term.value, origin};
  }
}

std::vector<Term> JobTerms::list() const {
  std::vector<Term> terms;
  for (const auto& [name, value] : values_) terms.push_back({name, value.text});
  return terms;
}

}  // namespace ferrun
