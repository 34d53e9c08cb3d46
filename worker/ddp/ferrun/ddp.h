// The distributed library as programs outside this source tree include it: #include <ferrun/ddp.h>, link ferrun::ddp.
#pragma once

#include "worker/ddp/adam.h"
#include "worker/ddp/autocast.h"
#include "worker/ddp/distributed_data_parallel.h"
#include "worker/ddp/distributed_sampler.h"
#include "worker/ddp/grad_scaler.h"
#include "worker/ddp/group_address.h"
#include "worker/ddp/process_group.h"
#include "worker/ddp/step_lr.h"
