"""A DDP script with DataLoader workers, in every attempt but the last killed at a random moment of its training.

Writes "ATTEMPT DESCRIPTORS" to EVENTS when an attempt has trained: how many of them the agent holds."""
import os
import random
import signal
import threading

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)
rank, attempt = int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
last = attempt == int(os.environ["TORCHELASTIC_MAX_RESTARTS"])
chance = random.Random(attempt)
victim = chance.randrange(2)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


dist.init_process_group("gloo")
model = DistributedDataParallel(torch.nn.Linear(8, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
data = TensorDataset(torch.ones(32, 8))
epoch = 0
while epoch < 2 or not last:
    for step, (batch, ) in enumerate(DataLoader(data, batch_size=8, num_workers=2)):
        optimizer.zero_grad()
        model(batch).sum().backward()
        optimizer.step()
        if (epoch, step) != (0, 1):
            continue
        dist.barrier()
        if rank == 0:
            with open(os.environ["EVENTS"], "a") as events:
                events.write("%d %d\n" % (attempt, len(os.listdir("/proc/%d/fd" % os.getppid()))))
        dist.barrier()
        if not last and rank == victim:
            threading.Timer(0.1 * chance.random(), die).start()
    epoch += 1
dist.destroy_process_group()
# A thread of Gloo may still hold a tensor, which aborts an interpreter that ends (pytorch/pytorch#179291).
os._exit(0)
