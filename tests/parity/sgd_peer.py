"""torch.optim.SGD on given gradients.

`write`: record.pt has each case's weights after every step, fused and as Python chooses; half-way states beside it. `check`:
ours.pt has the C++ optimizer's half-way state, from which Python goes on to the same end.
"""

import sys

import torch

from peer_values import finish, load, require, save

STEPS, HALF = 6, 3
CASES = {
    "plain": {"lr": 0.1},
    "decay": {"lr": 0.1, "weight_decay": 0.01},
    "momentum": {"lr": 0.05, "momentum": 0.9},
    "nesterov": {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
    "dampening": {"lr": 0.05, "momentum": 0.8, "dampening": 0.25},
}
SHAPES = [(5,), (3, 4), (8, 6, 3, 3), (16, 8, 1, 1), (300, 7)]


def lay_out(tensor, last):
    return tensor.contiguous(memory_format=torch.channels_last if last and tensor.dim() == 4 else torch.contiguous_format)


def parameters_from(values, last):
    return [torch.nn.Parameter(lay_out(value.clone(), last)) for value in values]


def take_steps(optimizer, parameters, gradients, last):
    for step in gradients:
        for parameter, gradient in zip(parameters, step):
            parameter.grad = lay_out(gradient.clone(), last)
        optimizer.step()
        yield [parameter.detach().clone() for parameter in parameters]


def write():
    torch.manual_seed(3)
    record = {"initial": [torch.randn(shape) for shape in SHAPES]}
    record["gradients"] = [[torch.randn(s) * 10 ** float(torch.randn(())) for s in SHAPES] for _ in range(STEPS)]
    for case, options in CASES.items():
        for flavour, extra in (("fused", {"fused": True}), ("default", {})):
            parameters = parameters_from(record["initial"], True)
            optimizer = torch.optim.SGD(parameters, **options, **extra)
            record[f"{case}_{flavour}"] = []
            for step, weights in enumerate(take_steps(optimizer, parameters, record["gradients"], True), 1):
                record[f"{case}_{flavour}"].append(weights)
                if step == HALF:
                    save(f"{case}_{flavour}_half_way.pt", {"weights": weights, "optimizer": optimizer.state_dict()})
    save("record.pt", record)


def check():
    # The file does not show the memory layout, and a fused step on a buffer of another one than its parameter's is wrong.
    record, ours = load("record.pt"), load("ours.pt")
    for case, options in CASES.items():
        parameters = parameters_from(ours[case]["weights"], False)
        optimizer = torch.optim.SGD(parameters, lr=7, fused=True)
        keys = set(optimizer.state_dict()["param_groups"][0]) | {"initial_lr"}
        require(set(ours[case]["optimizer"]["param_groups"][0]) == keys, f"{case}: the keys of a parameter group")
        theirs = load(f"{case}_fused_half_way.pt")["optimizer"]
        require(ours[case]["optimizer"]["state"].keys() == theirs["state"].keys(), f"{case}: the parameters with state")
        optimizer.load_state_dict(ours[case]["optimizer"])
        *_, weights = take_steps(optimizer, parameters, record["gradients"][HALF:], False)
        for index, (found, expected) in enumerate(zip(weights, record[f"{case}_fused"][-1])):
            require(torch.equal(found, expected), f"{case}: parameter {index}")


if sys.argv[2] == "write":
    write()
else:
    check()
finish()
