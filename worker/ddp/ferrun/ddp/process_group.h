// Ranks and the groups that they form: a part of <ferrun/ddp.h>.
#pragma once

#include "worker/ddp/group_address.h"
#include "worker/ddp/process_group.h"
