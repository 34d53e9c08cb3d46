"""One rank of ddp_bench.py: the time of a step of Python's DistributedDataParallel, ddp_step.cc's in Python."""

import os
import statistics
import sys
import time

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def main(size, mode, steps):
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    large = size == "large"
    layers = [torch.nn.Linear(2048, 2048) if large else torch.nn.Linear(8, 8) for _ in range(6 if large else 250)]
    module = torch.nn.Sequential(*layers)
    network = DistributedDataParallel(module, gradient_as_bucket_view=True) if mode == "ddp" else module
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3, fused=True)
    inputs = torch.randn(16, 2048 if large else 8)
    times = []
    for step in range(int(steps) + 3):
        dist.barrier()
        begin = time.perf_counter()
        optimizer.zero_grad()
        network(inputs).square().mean().backward()
        optimizer.step()
        if step >= 3:
            times.append((time.perf_counter() - begin) * 1000)
    if dist.get_rank() == 0:
        sys.stdout.write(f"step_ms {statistics.median(times):.4f}\n")
    sys.stdout.flush()
    dist.barrier()
    os._exit(0)  # a thread of Gloo may still hold a tensor, which aborts an interpreter that ends


if __name__ == "__main__":
    main(*sys.argv[1:])
