"""A plain DDP script with NCCL on a GPU and Gloo on the CPU. Prints a line a rank: attempt, device, sum of the weights.

    ddp.py cuda|cpu [kill]

With `kill` the last rank ends itself by SIGKILL in the first attempt, between two collectives.
"""

import os
import signal
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

kind, kills = sys.argv[1], sys.argv[2:] == ["kill"]
torch.set_num_threads(1)
device = torch.device(kind, int(os.environ["LOCAL_RANK"])) if kind == "cuda" else torch.device("cpu")
if kind == "cuda":
    torch.cuda.set_device(device)
dist.init_process_group("nccl" if kind == "cuda" else "gloo")
rank, attempt = dist.get_rank(), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
torch.manual_seed(7)
model = DistributedDataParallel(torch.nn.Linear(8, 4).to(device))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(5):
    if kills and attempt == 0 and rank == dist.get_world_size() - 1 and step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    optimizer.zero_grad()
    model(torch.full((2, 8), float(rank + step), device=device)).sum().backward()
    optimizer.step()
total = torch.tensor([float(rank + 1)], device=device)
dist.all_reduce(total)
weights = sum(parameter.double().sum().item() for parameter in model.parameters())
# One write: the ranks share their stdout.
sys.stdout.write(f"attempt {attempt} sum {total.item():.0f} weights {weights:.9e}\n")
dist.destroy_process_group()
# A thread of Gloo may still hold a tensor, which aborts an interpreter that ends (pytorch/pytorch#179291).
sys.stdout.flush()
os._exit(0)
