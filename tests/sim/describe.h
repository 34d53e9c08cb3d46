// Messages, events and effects as one readable line, for traces and golden scripts.
#pragma once

#include <string>

#include "rendezvous/coordinator/coordinator_events.h"

namespace ferrun::sim {

std::string describe(const MemberMessage& message);
std::string describe(const CoordinatorMessage& message);
std::string describe(const JobEnd& end);
std::string describe(const Assignment& assignment);
std::string describe(LossKind kind);

}  // namespace ferrun::sim
