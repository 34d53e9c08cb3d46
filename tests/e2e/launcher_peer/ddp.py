"""A plain DDP script, as a user has it: everything from the environment. Prints one line per rank.

MODE=kill: in attempt 0, rank 1 dies by SIGKILL between two collectives, which rank 0 is in the middle of."""
import os
import signal
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

torch.set_num_threads(1)
dist.init_process_group("gloo")
rank, attempt = dist.get_rank(), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
torch.manual_seed(7)
model = DistributedDataParallel(torch.nn.Linear(8, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(5):
    if os.environ.get("MODE") == "kill" and attempt == 0 and rank == 1 and step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    optimizer.zero_grad()
    model(torch.full((2, 8), float(rank + step))).sum().backward()
    optimizer.step()
total = torch.tensor([float(rank + 1)])
dist.all_reduce(total)
weights = sum(parameter.double().sum().item() for parameter in model.parameters())
# One write: unbuffered, print() would give the line and its end apart, and the ranks share their stdout.
sys.stdout.write(f"attempt {attempt} sum {total.item():.0f} weights {weights:.12e}\n")
dist.destroy_process_group()
# A thread of Gloo may still hold a tensor, which aborts an interpreter that ends (pytorch/pytorch#179291).
sys.stdout.flush()
os._exit(0)
