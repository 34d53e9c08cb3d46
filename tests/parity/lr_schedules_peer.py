"""Every schedule of PyTorch over 200 steps with two parameter groups, and its state in the middle.

`write`: record.pt has each case's rates and momentums after every step, and its state_dict after some of the steps; the
same of a third group that is added to the optimizer on the way, where the schedule goes on then.
`check`: ours.pt has the C++ schedules' states after the same steps; each has to be what PyTorch writes, and PyTorch goes
on from it.
"""

import sys

import torch
from torch.optim import lr_scheduler as lr
from torch.optim.swa_utils import SWALR

from peer_values import finish, load, require, save

STEPS = 200
STOPS = [1, 7, 40, 133]
ADDED, AFTER = [20, 100], 40
RATES = [0.1, 0.02]


def sequence(o, milestones, *parts):
    return lr.SequentialLR(o, [part(o) for part in parts], milestones)


CASES = {
    "step": lambda o: lr.StepLR(o, 13, 0.7),
    "multi_step": lambda o: lr.MultiStepLR(o, [0, 5, 5, 40, 150], 0.5),
    "exponential": lambda o: lr.ExponentialLR(o, 0.97),
    "constant": lambda o: lr.ConstantLR(o, 0.3, 41),
    "linear": lambda o: lr.LinearLR(o, 0.2, 0.7, 120),
    "polynomial": lambda o: lr.PolynomialLR(o, 150, 1.7),
    "lambda": lambda o: lr.LambdaLR(o, [lambda step: 0.98**step, lambda step: 1 / (1 + step)]),
    "multiplicative": lambda o: lr.MultiplicativeLR(o, [lambda step: 1 - 1 / (50 + step), lambda step: 0.97 + 0.02 * (step % 3)]),
    "cosine": lambda o: lr.CosineAnnealingLR(o, 60, 1e-4),
    "restarts": lambda o: lr.CosineAnnealingWarmRestarts(o, 9, 2, 1e-3),
    "restarts_even": lambda o: lr.CosineAnnealingWarmRestarts(o, 40),
    "one_cycle": lambda o: lr.OneCycleLR(o, [0.5, 0.1], 200),
    "one_cycle_linear": lambda o: lr.OneCycleLR(o, [0.5, 0.1], 210, pct_start=0.2, anneal_strategy="linear",
                                                three_phase=True, div_factor=10.0, final_div_factor=100.0),
    "one_cycle_adam": lambda o: lr.OneCycleLR(o, [0.5, 0.1], 200, base_momentum=0.8),
    "one_cycle_still": lambda o: lr.OneCycleLR(o, [0.5, 0.1], 200, cycle_momentum=False),
    "cyclic": lambda o: lr.CyclicLR(o, [0.001, 0.002], [0.1, 0.05], 17),
    "cyclic_2": lambda o: lr.CyclicLR(o, [0.001, 0.002], [0.1, 0.05], 10, 21, mode="triangular2"),
    "cyclic_exp": lambda o: lr.CyclicLR(o, [0.001, 0.002], [0.1, 0.05], 10, mode="exp_range", gamma=0.99),
    "one_cycle_groups": lambda o: lr.OneCycleLR(o, [0.5, 0.1], 200, base_momentum=[0.8, 0.7], max_momentum=[0.9, 0.99]),
    "cyclic_groups": lambda o: lr.CyclicLR(o, [0.001, 0.002], [0.1, 0.05], 17, base_momentum=[0.8, 0.6], max_momentum=[0.9, 0.99]),
    "plateau": lambda o: lr.ReduceLROnPlateau(o, patience=3, factor=0.6),
    "plateau_groups": lambda o: lr.ReduceLROnPlateau(o, patience=2, factor=0.3, min_lr=[0.003, 0.005]),
    "sequence": lambda o: sequence(o, [10, 40, 90], lambda o: lr.LinearLR(o, 0.1, 1.0, 10), lambda o: lr.ExponentialLR(o, 0.95),
                                   lambda o: lr.CosineAnnealingWarmRestarts(o, 11), lambda o: lr.PolynomialLR(o, 60, 2.0)),
    "sequence_2": lambda o: sequence(o, [5, 60, 90], lambda o: lr.ConstantLR(o, 0.25, 3), lambda o: lr.CosineAnnealingLR(o, 55, 1e-5),
                                     lambda o: lr.ConstantLR(o, 0.5, 20), lambda o: lr.StepLR(o, 10)),
    "sequence_3": lambda o: sequence(o, [20, 60], lambda o: lr.MultiplicativeLR(o, [lambda step: 0.98] * 2), lambda o: lr.LinearLR(o, 0.5, 1.0, 30),
                                     lambda o: lr.MultiplicativeLR(o, [lambda step: 0.9 + 0.001 * step] * 2)),
    "chained": lambda o: lr.ChainedScheduler([lr.ConstantLR(o, 0.1, 20), lr.ExponentialLR(o, 0.99), lr.StepLR(o, 50)]),
    "swa": lambda o: SWALR(o, [0.01, 0.01], 30),
    "swa_linear": lambda o: SWALR(o, [0.01, 0.01], 7, "linear"),
    "swa_groups": lambda o: SWALR(o, [0.01, 0.03], 30),
    "swa_at_once": lambda o: SWALR(o, [0.01, 0.01], 0),
}


def metrics():
    generator = torch.Generator().manual_seed(5)
    return [1 / (1 + step // 9) + 0.05 * torch.rand((), generator=generator, dtype=torch.float64).item() for step in range(STEPS)]


def new(case):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in RATES]
    optimizer = torch.optim.Adam(groups) if case.endswith("adam") else torch.optim.SGD(groups, momentum=0.9)
    optimizer.step()
    return optimizer, CASES[case](optimizer)


def now(optimizer):
    groups = optimizer.param_groups
    return [[group["lr"] for group in groups], [group["betas"][0] if "betas" in group else group["momentum"] for group in groups]]


def go_on(optimizer, schedule, values):
    for metric in values:
        schedule.step(metric) if isinstance(schedule, lr.ReduceLROnPlateau) else schedule.step()
        yield now(optimizer)


def with_added_group(case, added, values):
    """What follows, and the state in the middle of it; None where the schedule fails."""
    optimizer, schedule = new(case)
    list(go_on(optimizer, schedule, values[:added]))
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.3})
    try:
        trace = list(go_on(optimizer, schedule, values[added:added + AFTER // 2]))
        save("state.pt", schedule.state_dict())
        trace += go_on(optimizer, schedule, values[added + AFTER // 2:added + AFTER])
    except (ValueError, KeyError, RuntimeError):
        return None
    return {"rates": [rates for rates, momentums in trace], "state": load("state.pt")}


def write():
    record = {"metrics": metrics(), "traces": {}, "states": {}, "added": {}}
    for case in CASES:
        optimizer, schedule = new(case)
        record["states"][case] = {}
        trace = [now(optimizer)]
        for taken, values in enumerate(go_on(optimizer, schedule, record["metrics"]), 1):
            trace.append(values)
            if taken in STOPS:
                save("state.pt", schedule.state_dict())
                record["states"][case][taken] = load("state.pt")
        record["traces"][case] = trace
        record["added"][case] = {added: with_added_group(case, added, record["metrics"]) for added in ADDED}
    save("record.pt", record)


def check():
    record, ours = load("record.pt"), load("ours.pt")
    for case in CASES:
        for added in ADDED:
            theirs = record["added"][case][added]
            state = ours["added"][case][added]
            require(state == (theirs and theirs["state"]), f"{case} with a group added after {added} steps: {state} instead of {theirs}")
        for stop in STOPS:
            state, theirs, where = ours[case][stop], record["states"][case][stop], f"{case} after {stop} steps"
            require(state == theirs, f"{where}: {state} instead of {theirs}")
            require(list(state) == list(theirs), f"{where}: the order of keys")
            optimizer, schedule = new(case)
            schedule.load_state_dict(state)
            for group, rate in zip(optimizer.param_groups, state["_last_lr"]):
                group["lr"] = rate
            trace = list(go_on(optimizer, schedule, record["metrics"][stop:]))
            require(trace == record["traces"][case][stop + 1:], f"{where}: the rates from there")


if sys.argv[2] == "write":
    write()
else:
    check()
finish()
