// Where the differential suite has its things.
#pragma once

namespace ferrun::differential {

inline constexpr const char* kTorch = "2.11.0";
inline constexpr const char* kRows = FERRUN_SOURCE_DIR "/tests/differential/rows.json";
inline constexpr const char* kAnswers = FERRUN_SOURCE_DIR "/tests/differential/torchrun-2.11.0.json";
inline constexpr const char* kPage = FERRUN_SOURCE_DIR "/docs/differences-from-torchrun.md";
inline constexpr const char* kProbe = FERRUN_TEST_BIN_DIR "/differential_probe";
inline constexpr const char* kFerrun = FERRUN_BIN_DIR "/ferrun";

}  // namespace ferrun::differential
