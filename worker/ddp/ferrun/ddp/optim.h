// Optimizers, schedules, mixed precision and averages: a part of <ferrun/ddp.h>.
#pragma once

#include "worker/ddp/adam.h"
#include "worker/ddp/autocast.h"
#include "worker/ddp/class_weights.h"
#include "worker/ddp/cosine_annealing_lr.h"
#include "worker/ddp/cyclic_lr.h"
#include "worker/ddp/early_stopping.h"
#include "worker/ddp/grad_scaler.h"
#include "worker/ddp/gradient_norm.h"
#include "worker/ddp/linear_lr.h"
#include "worker/ddp/lr_schedule.h"
#include "worker/ddp/moving_average.h"
#include "worker/ddp/optimizer.h"
#include "worker/ddp/reduce_lr_on_plateau.h"
#include "worker/ddp/sequential_lr.h"
#include "worker/ddp/sgd.h"
#include "worker/ddp/step_lr.h"
