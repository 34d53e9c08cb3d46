"""Gradient accumulation with no_sync() in Python's DistributedDataParallel, on two and three ranks.

A small float64 model, each rank with its own samples, three micro batches a step of which the last one reduces. Leaves, for
W ranks, ranksW.pt: the initial weights, the inputs by rank and micro batch, and each step's gradients.
"""

import contextlib
import datetime

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from peer_ranks import leave, run_two_and_three

STEPS, MICRO_BATCHES = 4, 3


def train(rank, world, port):
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", port, world, is_master=False, timeout=datetime.timedelta(minutes=2))
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)).double()
    inputs = torch.randn(STEPS, MICRO_BATCHES, world, 4, 6, dtype=torch.float64)
    record = {"initial": {key: value.clone() for key, value in model.state_dict().items()}, "inputs": inputs, "gradients": []}
    network = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for step in range(STEPS):
        optimizer.zero_grad()
        for micro in range(MICRO_BATCHES):
            with network.no_sync() if micro < MICRO_BATCHES - 1 else contextlib.nullcontext():
                network(inputs[step, micro, rank]).square().mean().backward()
        record["gradients"].append([parameter.grad.clone() for parameter in model.parameters()])
        optimizer.step()
    leave(rank, world, record)


if __name__ == "__main__":
    run_two_and_three(train)
