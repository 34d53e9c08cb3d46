// On what all agents of a job must agree. Pure; owned by the coordinator machine.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "rendezvous/wire/messages.h"

namespace ferrun {

class JobTerms {
 public:
  // `origin` names whose terms these are. A term without a value is taken from the first agent that has one.
  JobTerms(const std::vector<Term>& terms, const std::string& origin);

  // One line that names both values: "--max-restarts is 3 on node0 and 0 here"; none where they agree.
  std::optional<std::string> disagreement(const std::vector<Term>& terms) const;
  // Takes over what was open. The terms agree.
  void adopt(const std::vector<Term>& terms, const std::string& origin);
  std::vector<Term> list() const;

 private:
  struct Value {
    std::string text;
    std::string origin;
  };
  std::map<std::string, Value> values_;
};

}  // namespace ferrun
