"""DistributedDataParallel with a checkpoint of rank 0's after every step."""
import os
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import killed

dist.init_process_group("gloo")
torch.manual_seed(7)
model = DistributedDataParallel(torch.nn.Linear(8, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
path = os.path.join(sys.argv[1], "checkpoint.pt")
first = 0
if os.path.exists(path):
    saved = torch.load(path)
    model.module.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    first = saved["step"]
for step in range(first, killed.STEPS):
    killed.step_begins(step)
    optimizer.zero_grad()
    model(torch.full((2, 8), float(killed.RANK + step))).square().mean().backward()
    optimizer.step()
    if killed.RANK == 0:
        saved = {"model": model.module.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
        torch.save(saved, path + ".part")
        os.rename(path + ".part", path)
    dist.barrier()
killed.job_is_done(first, sum(weights.double().sum().item() for weights in model.parameters()))
dist.destroy_process_group()
