"""A Python rank for restart_bench: see allreduce_rank.cc, its C++ twin."""
import os
import signal
import time

rank = int(os.environ["RANK"])
attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
last = int(os.environ["TORCHELASTIC_MAX_RESTARTS"])


def record(event):
    with open(os.environ["RESTART_EVENTS"], "a", buffering=1) as events:
        events.write(f"{event} {attempt} {rank} {time.monotonic_ns()}\n")


record("started")

import torch  # noqa: E402  (the import is part of what a Python rank costs)
import torch.distributed as dist  # noqa: E402

dist.init_process_group("gloo")
total = torch.ones(1024)
dist.all_reduce(total)
assert total[0] == dist.get_world_size()
record("reduced")
while "RESTART_HOLD" in os.environ and not os.path.exists(os.environ["RESTART_HOLD"]):
    time.sleep(0.01)
if attempt < last:
    if rank == 1:
        time.sleep(0.02)  # rank 0 waits inside the collective
        record("dies")
        os.kill(os.getpid(), signal.SIGKILL)
    dist.all_reduce(total)
dist.destroy_process_group()
# A thread of Gloo may still hold a tensor, which aborts an interpreter that ends (pytorch/pytorch#179291).
os._exit(0)
