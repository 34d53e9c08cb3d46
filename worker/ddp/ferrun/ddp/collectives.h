// Collectives, messages and sub-groups: a part of <ferrun/ddp.h>.
#pragma once

#include "worker/ddp/collectives.h"
