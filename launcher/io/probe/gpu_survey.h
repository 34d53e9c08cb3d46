// Gathers for `ferrun doctor` what NVIDIA's driver says of the GPUs that workers would see.
#pragma once

#include <filesystem>
#include <string>

#include "common/environment.h"
#include "common/time.h"
#include "launcher/doctor/judgement.h"

namespace ferrun {

struct GpuSurveyOptions {
  std::string library = "libnvidia-ml.so.1";
  std::filesystem::path root = "/";
  std::filesystem::path programs = {};           // where ferrun is; empty: the running program's folder
  Duration patience = std::chrono::seconds(20);  // the first call of a driver that sleeps takes seconds for each device
};

// Loads the driver's library on a thread of its own, and waits for it no longer than `patience`: a thread that hangs in
// the driver is left behind.
GpuFacts survey_gpus(const Environment& environment, const GpuSurveyOptions& options = {});

}  // namespace ferrun
