"""Records torch.amp.GradScaler over iterations of which some overflow float16: a trace for each of several arguments."""

import copy

import torch

from peer_values import finish, save

ITERATIONS = 40
OVERFLOWING = {5, 6, 21}
HALF_WAY = 18
TRACES = [
    {"init_scale": 1024.0, "growth_interval": 4},
    {"init_scale": 65536.0, "growth_factor": 3.0, "backoff_factor": 0.25, "growth_interval": 3},
    {"init_scale": 1.0, "growth_factor": 1.5, "growth_interval": 1},
    {"init_scale": 2.0**40, "backoff_factor": 0.01, "growth_interval": 100},
]


def trace(arguments):
    weight = torch.nn.Parameter(initial.clone())
    record = {"arguments": arguments, "scales": [], "trackers": [], "stepped": [], "weights": []}
    optimizer = torch.optim.Adam([weight], lr=0.01)
    scaler = torch.amp.GradScaler("cpu", **arguments)
    for iteration in range(ITERATIONS):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            loss = (torch.nn.functional.linear(inputs[iteration], weight).float() ** 2).mean()
        scaler.scale(loss).backward()
        before = weight.detach().clone()
        scaler.step(optimizer)
        scaler.update()
        state = scaler.state_dict()
        record["scales"].append(scaler.get_scale())
        record["trackers"].append(state.get("_growth_tracker", 0))
        record["stepped"].append(not torch.equal(before, weight.detach()))
        record["weights"].append(weight.detach().clone())
        if iteration == HALF_WAY:
            record["half_way"] = copy.deepcopy({"scaler": state, "optimizer": optimizer.state_dict()})
    return record


torch.manual_seed(5)
inputs = torch.randn(ITERATIONS, 6, 4)
for iteration in OVERFLOWING:
    inputs[iteration] *= 1e4
initial = torch.randn(3, 4)
save("record.pt", {"inputs": inputs, "weight": initial, "traces": [trace(arguments) for arguments in TRACES]})
finish()
