"""torch.optim with several parameter groups on given gradients, alone and with schedules that have rates by group.

`write`: record.pt has each case's weights after every step; states of optimizer and schedule in the middle beside it.
`check`: ours.pt has what C++ saved there, from which Python goes on to the same end.
"""

import sys

import torch
from torch.optim import lr_scheduler

from peer_values import finish, load, require, save

STEPS, HALF, ADDED = 8, 4, 2
SHAPES = [(5,), (3, 4), (16, 8), (1,), (40, 7)]


def groups_of(parameters, second, third):
    return [{"params": parameters[:2]}, {"params": parameters[2:3], **second}, {"params": parameters[3:], **third}]


def adam(parameters):
    groups = groups_of(parameters, {"lr": 0.05, "betas": (0.8, 0.99)}, {"weight_decay": 0.1, "eps": 1e-6})
    return torch.optim.Adam(groups, lr=0.01, fused=True)


def adamw(parameters):
    return torch.optim.AdamW(groups_of(parameters, {"weight_decay": 0.0}, {"lr": 0.02}), lr=0.01, fused=True)


def sgd(parameters):
    groups = groups_of(parameters, {"lr": 0.02, "nesterov": True}, {"momentum": 0.0, "weight_decay": 0.0})
    return torch.optim.SGD(groups, lr=0.05, momentum=0.9, weight_decay=5e-4, fused=True)


def sgd_added(parameters):
    return torch.optim.SGD(parameters[:4], lr=0.05, momentum=0.9, fused=True)


def adam_added(parameters):
    return torch.optim.Adam(parameters[:4], lr=0.01, fused=True)


def sgd_momentum(parameters):
    return torch.optim.SGD(groups_of(parameters, {}, {}), lr=1.0, momentum=0.5, fused=True)


def one_cycle(optimizer):
    return lr_scheduler.OneCycleLR(optimizer, [0.05, 0.02, 0.1], 20, base_momentum=[0.8, 0.85, 0.7], max_momentum=[0.9, 0.95, 0.99])


def cyclic(optimizer):
    return lr_scheduler.CyclicLR(optimizer, [0.001, 0.002, 0.003], [0.1, 0.05, 0.02], 3, base_momentum=[0.8, 0.7, 0.6],
                                 max_momentum=[0.9, 0.95, 0.99])


CASES = {
    "adam": (adam, None),
    "adamw": (adamw, None),
    "sgd": (sgd, None),
    "adam_added": (adam_added, None),
    "sgd_added": (sgd_added, None),
    "adam_step": (adam, lambda o: lr_scheduler.StepLR(o, 2, 0.5)),
    "adam_cycle": (adam, one_cycle),
    "sgd_cycle": (sgd_momentum, one_cycle),
    "sgd_cyclic": (sgd_momentum, cyclic),
}


def add_group(optimizer, parameters):
    optimizer.add_param_group({"params": parameters[4:], "lr": 0.1})


def made(case, values):
    parameters = [torch.nn.Parameter(value.clone()) for value in values]
    optimizer = CASES[case][0](parameters)
    return parameters, optimizer, CASES[case][1](optimizer) if CASES[case][1] else None


def go_on(case, parameters, optimizer, schedule, gradients, begin):
    for step in range(begin, STEPS):
        if step == ADDED and case.endswith("added"):
            add_group(optimizer, parameters)
        for parameter, gradient in zip(parameters, gradients[step]):
            parameter.grad = gradient.clone()
        optimizer.step()
        if schedule:
            schedule.step()
        yield [parameter.detach().clone() for parameter in parameters]


def write():
    torch.manual_seed(3)
    record = {"initial": [torch.randn(shape) for shape in SHAPES]}
    record["gradients"] = [[torch.randn(s) * 10 ** float(torch.randn(())) for s in SHAPES] for _ in range(STEPS)]
    for case in CASES:
        parameters, optimizer, schedule = made(case, record["initial"])
        record[case] = []
        for step, weights in enumerate(go_on(case, parameters, optimizer, schedule, record["gradients"], 0), 1):
            record[case].append(weights)
            if step == HALF:
                state = {"weights": weights, "optimizer_state_dict": optimizer.state_dict()}
                if schedule:
                    state["scheduler_state_dict"] = schedule.state_dict()
                save(f"{case}_half_way.pt", state)
    save("record.pt", record)


def check():
    record, ours = load("record.pt"), load("ours.pt")
    for case in CASES:
        theirs = load(f"{case}_half_way.pt")["optimizer_state_dict"]
        state = ours[case]["optimizer_state_dict"]
        require(state["state"].keys() == theirs["state"].keys(), f"{case}: the parameters with state")
        require(len(state["param_groups"]) == len(theirs["param_groups"]), f"{case}: the number of groups")
        for index, (group, expected) in enumerate(zip(state["param_groups"], theirs["param_groups"])):
            if CASES[case][1] is None:
                group = {key: value for key, value in group.items() if key != "initial_lr"}
            require(group == expected, f"{case}: group {index} is {group} instead of {expected}")
        parameters, optimizer, schedule = made(case, ours[case]["weights"])
        if case.endswith("added"):
            add_group(optimizer, parameters)
        optimizer.load_state_dict(state)
        if schedule:
            schedule.load_state_dict(ours[case]["scheduler_state_dict"])
        *_, weights = go_on(case, parameters, optimizer, schedule, record["gradients"], HALF)
        for index, (found, expected) in enumerate(zip(weights, record[case][-1])):
            require(torch.equal(found, expected), f"{case}: parameter {index}")


if sys.argv[2] == "write":
    write()
else:
    check()
finish()
