// EmotionNet as a TorchScript program, for those who run it without this project: torch.jit.load in Python or C++.
#pragma once

#include <map>
#include <string>

#include "worker/model/emotion_net.h"

namespace ferrun::model {

// The bytes of a TorchScript archive: a module with the model's state_dict, names and all, whose forward is its
// evaluation: [N, 3, H, W] float, normalised, to logits [N, classes]; N, H and W may be any that the model takes. It
// cannot be trained. `extra_files` come back by torch.jit.load(…, _extra_files=…). The model must be on the CPU.
std::string torchscript_archive(const EmotionNet& model, const std::map<std::string, std::string>& extra_files);

}  // namespace ferrun::model
