"""Records torch.amp.GradScaler over iterations of which some overflow float16."""

import torch

from peer_values import finish, save

ITERATIONS = 40
OVERFLOWING = {5, 6, 21}
HALF_WAY = 18

torch.manual_seed(5)
inputs = torch.randn(ITERATIONS, 6, 4)
for iteration in OVERFLOWING:
    inputs[iteration] *= 1e4
weight = torch.nn.Parameter(torch.randn(3, 4))
record = {"inputs": inputs, "weight": weight.detach().clone(), "scales": [], "trackers": [], "stepped": [], "weights": []}
optimizer = torch.optim.Adam([weight], lr=0.01)
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=4)
for iteration in range(ITERATIONS):
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.float16):
        loss = (torch.nn.functional.linear(inputs[iteration], weight).float() ** 2).mean()
    scaler.scale(loss).backward()
    before = weight.detach().clone()
    scaler.step(optimizer)
    scaler.update()
    state = scaler.state_dict()
    record["scales"].append(state["scale"])
    record["trackers"].append(state["_growth_tracker"])
    record["stepped"].append(not torch.equal(before, weight.detach()))
    record["weights"].append(weight.detach().clone())
    if iteration == HALF_WAY:
        record["half_way"] = {"scaler": state, "optimizer": optimizer.state_dict()}
        save("half_way.pt", record["half_way"])
record.pop("half_way")
save("record.pt", record)
finish()
