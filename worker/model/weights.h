// Finds EmotionNet's weights in checkpoints of several shapes, and says in the user's words when they do not fit.
#pragma once

#include <cstdint>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/model/emotion_net.h"

namespace ferrun::model {

// The state_dict in a checkpoint: its 'model_state_dict' (or 'state_dict', 'model'), or the whole file when it is one.
// Failure: there is none, or it is not EmotionNet's.
Result<const checkpoint::Value*> find_weights(const checkpoint::Value& file);

// How many classes a state_dict of find_weights tells apart.
int64_t count_classes(const checkpoint::Value& weights);

// Copies a state_dict of find_weights into the model, all or nothing; a wrong number of classes is told as such.
Status load_weights(EmotionNet& model, const checkpoint::Value& weights);

}  // namespace ferrun::model
