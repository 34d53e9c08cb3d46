"""A Python rank of mixed_ranks_test: mixed_rank.cc's equal, which knows nothing of the C++ ranks beside it."""

import os
import signal
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def main():
    checkpoint, last, die_at = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(rank)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    network = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    step = 0
    if os.path.exists(checkpoint):
        loaded = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(loaded["model_state_dict"])
        optimizer.load_state_dict(loaded["optimizer_state_dict"])
        step = loaded["step"]
        sys.stdout.write(f"rank {rank} of {world} (Python): goes on at step {step}\n")
    first_attempt = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    while step < last:
        if first_attempt and rank == 1 and step == die_at:
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        torch.manual_seed(step * 16 + rank)
        inputs = torch.randn(16, 8)
        optimizer.zero_grad()
        (network(inputs) - inputs.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()
        step += 1
        if step % 10 == 0 and rank == 0:
            torch.save({"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(),
                        "step": step}, checkpoint + ".new")
            os.replace(checkpoint + ".new", checkpoint)
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    sys.stdout.write(f"rank {rank} of {world} (Python): ends with {weights.numpy().tobytes().hex()}\n")
    sys.stdout.flush()
    dist.barrier()
    os._exit(0)  # a thread of Gloo may still hold a tensor, which aborts an interpreter that ends


main()
