// The distributed library as programs outside this source tree include it: #include <ferrun/ddp.h>, link ferrun::ddp.
// A part of it costs less to compile: <ferrun/ddp/…>.
#pragma once

#include "ferrun/ddp/checkpoint.h"
#include "ferrun/ddp/collectives.h"
#include "ferrun/ddp/data.h"
#include "ferrun/ddp/distributed_data_parallel.h"
#include "ferrun/ddp/optim.h"
#include "ferrun/ddp/process_group.h"
