"""Clipped gradients and averaged weights as PyTorch computes them.

`write`: record.pt. `check`: ours.pt has the C++ average's state half way; AveragedModel goes on from it.
"""

import sys

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from peer_values import finish, load, require, save

SHAPES = [(5,), (3, 4), (8, 6, 3, 3), (300, 7)]
UPDATES, HALF, DECAY = 6, 3, 0.9


def clipped():
    torch.manual_seed(7)
    cases = []
    # The last parameter has no gradient; the last case's norm is infinite.
    other = [(0.5, 1.0, norm_type, torch.float32) for norm_type in (0.0, 0.5, 1.0, 3.0, torch.inf)]
    usual = [(max_norm, scale, 2.0, torch.float32) for max_norm, scale in ((1.0, 10.0), (1.0, 1e-3), (0.5, 1.0), (1.0, 1e30))]
    # The second gradient is of another type.
    mixed = [(0.5, 1.0, norm_type, second) for norm_type in (1.0, 2.0, torch.inf) for second in (torch.bfloat16, torch.float64)]
    for max_norm, scale, norm_type, second in usual + other + mixed:
        gradients = [torch.randn(shape) * scale for shape in SHAPES]
        gradients[1] = gradients[1].to(second)
        parameters = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients + [torch.zeros(2)]]
        for parameter, gradient in zip(parameters, gradients):
            parameter.grad = gradient.clone()
        norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm, norm_type)
        cases.append({"max_norm": max_norm, "norm_type": norm_type, "before": gradients, "norm": norm,
                      "after": [parameter.grad for parameter in parameters if parameter.grad is not None]})
    return cases


def new_model():
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))


def average_of(model):
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY), use_buffers=True)


def state_copy(module):
    return {key: value.detach().clone() for key, value in module.state_dict().items()}


def write():
    record = {"clipped": clipped(), "weights": [], "averages": []}
    model = new_model()
    average = average_of(model)
    for update in range(UPDATES):
        with torch.no_grad():
            for value in model.parameters():
                value.copy_(torch.randn(value.shape))
        model(torch.randn(6, 4))
        average.update_parameters(model)
        record["weights"].append(state_copy(model))
        record["averages"].append(state_copy(average))
    save("record.pt", record)


def check():
    record, ours = load("record.pt"), load("ours.pt")
    model = new_model()
    average = average_of(model)
    require(list(ours) == list(average.state_dict()), "the order of names")
    average.load_state_dict(ours)
    for weights in record["weights"][HALF:]:
        model.load_state_dict(weights)
        average.update_parameters(model)
    for key, value in average.state_dict().items():
        require(torch.equal(value, record["averages"][-1][key]), key)


if sys.argv[2] == "write":
    write()
else:
    check()
finish()
