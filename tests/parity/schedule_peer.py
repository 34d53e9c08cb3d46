"""PyTorch's learning-rate schedules over 100 epochs, and their states in the middle.

`write`: record.pt has each case's rates after every step, and its state_dict after some of the epochs. `check`: ours.pt has
the C++ schedules' states after the same epochs; each has to be what PyTorch writes, and PyTorch goes on from it.
"""

import sys

import torch
from torch.optim import lr_scheduler

from peer_values import finish, load, require, save

EPOCHS = 100
STOPS = [3, 8, 37]
LR = 0.1


class WarmPlateau:
    """A linear warm-up as SequentialLR has it, then ReduceLROnPlateau, which SequentialLR refuses."""

    def __init__(self, optimizer, epochs, start_factor, **options):
        linear = lr_scheduler.LinearLR(optimizer, start_factor, total_iters=epochs)
        self.epochs = epochs
        self.warmup = lr_scheduler.SequentialLR(
            optimizer, [linear, lr_scheduler.ConstantLR(optimizer, 1.0, 1)], [epochs])
        self.plateau = lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        self.taken = 0

    def step(self, metric):
        self.taken += 1
        if self.taken <= self.epochs:
            self.warmup.step()
        else:
            self.plateau.step(metric)


def warm(optimizer, epochs, start_factor, schedule):
    linear = lr_scheduler.LinearLR(optimizer, start_factor, total_iters=epochs)
    return lr_scheduler.SequentialLR(optimizer, [linear, schedule(optimizer)], [epochs])


CASES = {
    "step": lambda o: lr_scheduler.StepLR(o, 10, 0.1),
    "step_integer_gamma": lambda o: lr_scheduler.StepLR(o, 7, 1),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 100),
    "cosine_again": lambda o: lr_scheduler.CosineAnnealingLR(o, 30, 1e-5),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=3),
    "plateau_largest": lambda o: lr_scheduler.ReduceLROnPlateau(
        o, "max", factor=0.5, patience=2, threshold=0.01, threshold_mode="abs", cooldown=4, min_lr=1e-3),
    "warm_step": lambda o: warm(o, 5, 1 / 3, lambda o: lr_scheduler.StepLR(o, 10, 0.5)),
    "warm_cosine": lambda o: warm(o, 8, 0.01, lambda o: lr_scheduler.CosineAnnealingLR(o, 92, 1e-6)),
    "warm_plateau": lambda o: WarmPlateau(o, 8, 0.1, patience=3),
}


def metrics():
    generator = torch.Generator().manual_seed(5)
    return [1 / (1 + epoch // 9) + 0.05 * torch.rand((), generator=generator, dtype=torch.float64).item()
            for epoch in range(EPOCHS)]


def new(case):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=LR)
    optimizer.step()
    return optimizer, CASES[case](optimizer)


def go_on(optimizer, schedule, values):
    rates = []
    for metric in values:
        plateau = isinstance(schedule, (lr_scheduler.ReduceLROnPlateau, WarmPlateau))
        schedule.step(metric) if plateau else schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
        yield rates


def write():
    record = {"metrics": metrics(), "rates": {}, "states": {}}
    for case in CASES:
        optimizer, schedule = new(case)
        record["states"][case] = {}
        for taken, rates in enumerate(go_on(optimizer, schedule, record["metrics"]), 1):
            if taken in STOPS and not isinstance(schedule, WarmPlateau):
                state = schedule.state_dict()
                save("state.pt", state)
                record["states"][case][taken] = load("state.pt")
        record["rates"][case] = rates
    save("record.pt", record)


def check():
    record, ours = load("record.pt"), load("ours.pt")
    for case in CASES:
        for stop in STOPS:
            state, where = ours[case][stop], f"{case} after {stop} epochs"
            optimizer, schedule = new(case)
            if isinstance(schedule, WarmPlateau):
                if stop <= schedule.epochs:
                    continue
                schedule, state = schedule.plateau, state["_schedulers"][1]
            else:
                require(state == record["states"][case][stop],
                        f"{where}: {state} instead of {record['states'][case][stop]}")
            require(list(state) == list(schedule.state_dict()), f"{where}: the order of keys")
            schedule.load_state_dict(state)
            optimizer.param_groups[0]["lr"] = state["_last_lr"][0]
            *_, rates = go_on(optimizer, schedule, record["metrics"][stop:])
            require(rates == record["rates"][case][stop:], f"{where}: the rates from there")


if sys.argv[2] == "write":
    write()
else:
    check()
finish()
