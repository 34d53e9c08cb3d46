// On what the agents of a job must agree, and in what they may differ. Pure; owned by the coordinator machine.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "rendezvous/wire/messages.h"

namespace ferrun {

// Those without which the job would break: its size and its budget, which every node tells its workers.
std::vector<Term> required_terms(const std::vector<Term>& terms);
// The first of them that both have, with other values: "--nnodes is 2 FIRST and 4 SECOND". None where they agree.
std::optional<std::string> required_difference(const std::vector<Term>& first, const std::string& where_first,
                                               const std::vector<Term>& second, const std::string& where_second);

class JobTerms {
 public:
  // Something in which a node differs and may.
  struct Remark {
    std::string line;
    bool warns = false;  // the node's value has no effect, or it runs something else
  };

  // `origin` names whose terms these are. A term without a value is taken from the first agent that has one.
  JobTerms(const std::vector<Term>& terms, const std::string& origin);

  // One line that names both values: "--max-restarts is 3 on node0 and 0 here"; none where they agree in all that is
  // required.
  std::optional<std::string> disagreement(const std::vector<Term>& terms) const;
  // Takes over what was open, of terms that do not disagree. Each difference is told once.
  std::vector<Remark> adopt(const std::vector<Term>& terms, const std::string& origin);
  std::vector<Term> list() const;

 private:
  struct Value {
    std::string text;
    std::string origin;
  };
  std::map<std::string, Value> values_;
  std::set<std::string> told_;
};

}  // namespace ferrun
