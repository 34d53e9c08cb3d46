"""Rank 1 raises while a collective of its is on its way; the destructor of its process group waits for rank 0."""
import os
import time

import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.ones(4)
dist.all_reduce(total)
if os.environ["RANK"] == "1":
    work = dist.all_reduce(total, async_op=True)
    raise ValueError("bad label")
time.sleep(1000)
