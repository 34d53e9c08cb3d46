"""A Python DDP script that outlives its nodes: elastic_ddp.py FOLDER STEPS

Trains on a fixed problem and keeps a checkpoint in FOLDER. At the end all ranks compare their weights.
"""
import os
import sys
import time

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def main():
    folder, steps = sys.argv[1], int(sys.argv[2])
    checkpoint = os.path.join(folder, "checkpoint.pt")
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(5)
    model = DistributedDataParallel(torch.nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    first = 0
    if os.path.exists(checkpoint):
        saved = torch.load(checkpoint, weights_only=True)
        model.module.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    dist.barrier()  # all have read what rank 0 is about to replace
    print(f"group of {world} is complete: rank {rank} from step {first}", flush=True)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(240, 8, generator=generator)
    for step in range(first, steps):
        shard = inputs[rank::world]
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(shard), shard.sum(dim=1, keepdim=True)).backward()
        optimizer.step()
        if rank == 0:
            torch.save({"model": model.module.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1},
                       checkpoint + ".new")
            os.replace(checkpoint + ".new", checkpoint)
        # `slow` keeps the job running until the test has done to it what it wants to.
        while rank == 0 and os.path.exists(os.path.join(folder, "slow")) and step + 1 == steps:
            time.sleep(0.01)
        dist.barrier()
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    everybody = [torch.empty_like(weights) for _ in range(world)]
    dist.all_gather(everybody, weights)
    assert all(torch.equal(weights, other) for other in everybody)
    print(f"done: rank {rank}, {steps} steps, equal on {world}", flush=True)
    dist.destroy_process_group()
    # A thread of Gloo may still hold a tensor, which aborts an interpreter that ends (pytorch/pytorch#179291).
    os._exit(0)


if __name__ == "__main__":
    main()
