"""DDP with torch.distributed.checkpoint's asynchronous save, which writes in a thread while training goes on."""
import os
import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.nn.parallel import DistributedDataParallel

import killed

dist.init_process_group("cpu:gloo")
torch.manual_seed(7)
model = DistributedDataParallel(torch.nn.Linear(8, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
first = 0
saved = sorted(name for name in os.listdir(sys.argv[1]) if name.startswith("step"))
saved = [name for name in saved if os.path.exists(os.path.join(sys.argv[1], name, ".metadata"))]
if saved:
    values = {"model": model.module.state_dict()}
    dcp.load(values, checkpoint_id=os.path.join(sys.argv[1], saved[-1]))
    model.module.load_state_dict(values["model"])
    first = int(saved[-1][4:])
under_way = None
for step in range(first, killed.STEPS):
    if under_way is not None:
        under_way.result()
    killed.step_begins(step)
    optimizer.zero_grad()
    model(torch.full((2, 8), float(killed.RANK + step))).square().mean().backward()
    optimizer.step()
    name = os.path.join(sys.argv[1], f"step{step + 1}")
    under_way = dcp.async_save({"model": model.module.state_dict()}, checkpoint_id=name)
under_way.result()
killed.job_is_done(first, sum(weights.double().sum().item() for weights in model.parameters()))
dist.destroy_process_group()
