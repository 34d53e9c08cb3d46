// Finds EmotionNet's weights in files of several shapes, and says in the user's words when they do not fit.
#pragma once

#include <cstdint>
#include <string>

#include "common/result.h"
#include "worker/checkpoint/module_state.h"
#include "worker/checkpoint/value.h"
#include "worker/model/emotion_net.h"

namespace ferrun::model {

// What begin_with could not match: nothing when strict.
using WeightsReport = checkpoint::StateDifference;

// Starts a model from the weights in a file that checkpoint::read has read from `path`: a state_dict or a checkpoint of
// the worker or of a Python trainer (torch.save of any age, safetensors), see find_weights. All or nothing. `strict`:
// every entry of the model is in the file and the other way round, else an error that lists both sides; otherwise the
// report does. Another shape, hence another number of classes, is an error either way. Failure: one line that names the
// file and what helps. The model may be on any device; no gradients, optimizer or random numbers are touched.
Result<WeightsReport> begin_with(EmotionNet& model, const checkpoint::Value& file, const std::string& path,
                                 bool strict = true);

// The state_dict in a checkpoint: the whole file when it is one, else the entry 'model_state_dict' ('state_dict',
// 'model', 'net', 'network', 'weights', …), else any other dict in it that holds EmotionNet's names. Failure: there is
// none; a whole pickled model is told as such, with the Python line that saves its state_dict.
Result<const checkpoint::Value*> find_weights(const checkpoint::Value& file);

// How many classes a state_dict of find_weights tells apart; 0 when it does not say (no last layer).
int64_t count_classes(const checkpoint::Value& weights);

// Copies a state_dict of find_weights into the model strictly, all or nothing; a wrong number of classes is told as
// such.
Status load_weights(EmotionNet& model, const checkpoint::Value& weights);

}  // namespace ferrun::model
