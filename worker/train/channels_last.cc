#include "worker/train/channels_last.h"

#include <c10/core/MemoryFormat.h>

namespace ferrun::train {

void use_channels_last(torch::nn::Module& module) {
  for (at::Tensor& parameter : module.parameters()) {
    if (parameter.dim() == 4) {
      const at::Tensor data = parameter.data().contiguous(at::MemoryFormat::ChannelsLast);
      // Where a size is 1 several strides describe one order, and contiguous() keeps what is there. Gradients come with
      // the canonical ones, and the Reducer copies fast only between equal strides.
      parameter.set_data(data.as_strided(data.sizes(), c10::get_channels_last_strides_2d(data.sizes())));
    }
  }
}

}  // namespace ferrun::train
