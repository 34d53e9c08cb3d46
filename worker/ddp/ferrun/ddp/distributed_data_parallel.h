// Data-parallel training of a module, its hooks, uneven inputs and SyncBatchNorm: a part of <ferrun/ddp.h>.
#pragma once

#include "worker/ddp/comm_hooks.h"
#include "worker/ddp/distributed_data_parallel.h"
#include "worker/ddp/join.h"
#include "worker/ddp/mixed_precision.h"
#include "worker/ddp/power_sgd.h"
#include "worker/ddp/sync_batch_norm.h"
