// A few pictures and what a model says of them, for people who look at a run.
#pragma once

#include <vector>

#include "common/result.h"
#include "worker/data/dataset.h"
#include "worker/data/transforms.h"
#include "worker/model/emotion_net.h"
#include "worker/report/test_result.h"

namespace ferrun::train {

// Of `number` pictures that lie evenly spread over the data set, those that can be read, in its order. The model is in
// evaluation mode, on `device`.
std::vector<report::SamplePrediction> sample_predictions(model::EmotionNet& model, c10::Device device,
                                                         const data::Dataset& pictures,
                                                         const data::Transform& transform, int64_t number);

}  // namespace ferrun::train
