"""The Python twin of store_rank.cc: python_rank.py sum | restarts."""
import os
import signal
import sys
import time

import torch
import torch.distributed as dist


def say(line):
    os.write(1, (line + "\n").encode())


def leave():
    dist.destroy_process_group()
    # A thread of Gloo may still hold a tensor, which aborts an interpreter that ends (pytorch/pytorch#179291).
    os._exit(0)


def main(mode):
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    if mode == "sum":
        tensor = torch.full((1,), float(rank + 1))
        dist.all_reduce(tensor)
        say(f"rank {rank} of {world}: sum {int(tensor.item())}")
        dist.barrier()  # store_rank.cc does the same: nobody closes a connection that another still uses
        leave()
    attempt, last = (int(os.environ["TORCHELASTIC_" + name]) for name in ("RESTART_COUNT", "MAX_RESTARTS"))
    tensor = torch.ones(1)
    dist.all_reduce(tensor)
    assert tensor.item() == world
    say(f"up {attempt} {rank} {time.monotonic_ns()}")
    if attempt == last:
        dist.barrier()
        leave()
    work = dist.all_reduce(torch.ones(4 << 20), async_op=True)
    if rank == attempt % world:
        say(f"kill {attempt} {rank} {time.monotonic_ns()}")
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        work.wait()
        dist.barrier()


if __name__ == "__main__":
    main(sys.argv[1])
