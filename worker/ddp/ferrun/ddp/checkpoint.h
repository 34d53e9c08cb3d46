// A run's state in PyTorch's files: a part of <ferrun/ddp.h>.
#pragma once

#include "worker/ddp/checkpoint.h"
#include "worker/ddp/checkpoint_saver.h"
#include "worker/ddp/distributed_checkpoint.h"
#include "worker/ddp/torch_optimizer_state.h"
