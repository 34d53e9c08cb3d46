// Ranks, the groups that they form, the program around them: a part of <ferrun/ddp.h>.
#pragma once

#include "worker/ddp/group_address.h"
#include "worker/ddp/process_group.h"
#include "worker/ddp/program.h"
#include "worker/ddp/restart.h"
