"""A Python rank beside C++ ranks: see mixed_python_cpp.cc. Nothing in it knows of them."""

import os
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def main():
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(rank)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    network = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(50):
        inputs = torch.randn(16, 8)
        optimizer.zero_grad()
        (network(inputs) - inputs.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    everyones = [torch.empty_like(weights) for _ in range(world)]
    dist.all_gather(everyones, weights)
    equal = all(torch.equal(weights, other) for other in everyones)
    everyone = dist.new_group([0, 1])
    largest = torch.full((1,), float(rank), dtype=torch.float64)
    dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=everyone)
    equal = equal and largest.item() == 1
    dist.barrier(group=everyone)
    sys.stdout.write(f"rank {rank} of {world} (Python): {'equal' if equal else 'other'} weights\n")
    dist.barrier()
    sys.stdout.flush()
    os._exit(0 if equal else 1)  # a thread of Gloo may still hold a tensor, which aborts an interpreter that ends


if __name__ == "__main__":
    main()
