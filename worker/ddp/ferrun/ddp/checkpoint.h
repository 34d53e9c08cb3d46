// A run's state in PyTorch's files: a part of <ferrun/ddp.h>.
#pragma once

#include "worker/ddp/checkpoint.h"
