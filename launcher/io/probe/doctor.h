// Gathers the facts for `ferrun doctor`: asks the resolver, the kernel and, if it answers, the coordinator.
#pragma once

#include <vector>

#include "launcher/config/doctor_job.h"
#include "launcher/doctor/finding.h"

namespace ferrun {

// Takes some seconds where nobody answers. Binds ports for a moment, and starts nothing.
std::vector<Finding> examine(const DoctorJob& job);

}  // namespace ferrun
