#include "worker/train/mixed_precision.h"

#include <ATen/core/dispatch/Dispatcher.h>

namespace ferrun::train {

bool has_fast_convolutions(c10::ScalarType type) {
  const char* question = nullptr;
  if (type == c10::ScalarType::BFloat16) question = "mkldnn::_is_mkldnn_bf16_supported";
  if (type == c10::ScalarType::Half) question = "mkldnn::_is_mkldnn_fp16_supported";
  if (question == nullptr) return true;
  const auto operation = c10::Dispatcher::singleton().findSchema({question, ""});
  return !operation || operation->typed<bool()>().call();
}

std::optional<std::string> precision_note(std::optional<c10::ScalarType> autocast, bool on_cpu,
                                          bool (*fast)(c10::ScalarType)) {
  if (!autocast || !on_cpu || fast(*autocast)) return std::nullopt;
  const bool half = *autocast == c10::ScalarType::Half;
  const std::string name = half ? "fp16" : "bf16";
  return name + " is slow on this CPU: fast " + name + " convolutions need " +
         (half ? "AVX512-FP16 or AMX-FP16" : "AVX-512") + "; --amp off computes in fp32, many times faster";
}

}  // namespace ferrun::train
