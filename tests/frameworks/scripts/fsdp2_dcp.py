"""FSDP2 with torch.distributed.checkpoint; each rank holds and saves its shards."""
import os
import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import killed

dist.init_process_group("gloo")
torch.manual_seed(7)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
fully_shard(model, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)


def state():
    weights, moments = get_state_dict(model, optimizer)
    return {"model": weights, "optimizer": moments}


first = 0
saved = sorted(name for name in os.listdir(sys.argv[1]) if name.startswith("step"))
saved = [name for name in saved if os.path.exists(os.path.join(sys.argv[1], name, ".metadata"))]
if saved:
    values = state()
    dcp.load(values, checkpoint_id=os.path.join(sys.argv[1], saved[-1]))
    set_state_dict(model, optimizer, model_state_dict=values["model"], optim_state_dict=values["optimizer"])
    first = int(saved[-1][4:])
for step in range(first, killed.STEPS):
    killed.step_begins(step)
    optimizer.zero_grad()
    model(torch.full((2, 8), float(killed.RANK + step))).square().mean().backward()
    optimizer.step()
    dcp.save(state(), checkpoint_id=os.path.join(sys.argv[1], f"step{step + 1}"))
killed.job_is_done(first, sum(weights.full_tensor().double().sum().item() for weights in model.parameters()))
dist.destroy_process_group()
