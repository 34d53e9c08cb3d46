"""torch.optim.swa_utils' AveragedModel as a plain mean, update_bn, and clip_grad_value_.

`write`: record.pt. `check`: ours.pt has the C++ mean's state half way; AveragedModel goes on from it.
"""

import sys

import torch
from torch.optim.swa_utils import AveragedModel, update_bn

from peer_values import finish, load, require, save

UPDATES, HALF = 7, 3


def new_model():
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))


def state_copy(module):
    return {key: value.detach().clone() for key, value in module.state_dict().items()}


def write():
    torch.manual_seed(11)
    model = new_model()
    mean = AveragedModel(model)
    record = {"weights": [], "means": []}
    for _ in range(UPDATES):
        with torch.no_grad():
            for value in model.parameters():
                value.copy_(torch.randn(value.shape))
        model(torch.randn(6, 4))
        mean.update_parameters(model)
        record["weights"].append(state_copy(model))
        record["means"].append(state_copy(mean))
    record["batches"] = [torch.randn(rows, 4) for rows in (5, 6, 2)]
    mean.eval()
    update_bn(record["batches"], mean)
    require(not mean.training and mean.module[1].momentum == 0.1, "update_bn puts things back")
    record["normed"] = state_copy(mean)
    record["gradients"] = [torch.randn(shape) for shape in ((5,), (3, 4))]
    parameters = [torch.nn.Parameter(torch.zeros_like(one)) for one in record["gradients"]] + [torch.nn.Parameter(torch.zeros(2))]
    for parameter, gradient in zip(parameters, record["gradients"]):
        parameter.grad = gradient.clone()
    torch.nn.utils.clip_grad_value_(parameters, 0.5)
    record["clipped"] = [parameter.grad for parameter in parameters[:2]]
    save("record.pt", record)


def check():
    record, ours = load("record.pt"), load("ours.pt")
    model = new_model()
    mean = AveragedModel(model)
    require(list(ours) == list(mean.state_dict()), "the order of names")
    mean.load_state_dict(ours)
    for weights in record["weights"][HALF:]:
        model.load_state_dict(weights)
        mean.update_parameters(model)
    for key, value in mean.state_dict().items():
        require(torch.equal(value, record["means"][-1][key]), key)


if sys.argv[2] == "write":
    write()
else:
    check()
finish()
