// Samplers, datasets and DataLoader: a part of <ferrun/ddp.h>.
#pragma once

#include "worker/ddp/collate.h"
#include "worker/ddp/data_loader.h"
#include "worker/ddp/dataset.h"
#include "worker/ddp/sampler.h"
