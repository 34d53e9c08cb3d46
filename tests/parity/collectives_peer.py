"""Rank 1 of a group whose rank 0 is C++'s: the collectives of whole tensors, and messages from whoever sends."""

import os
import sys

import torch
import torch.distributed as dist


def check(found, expected, what):
    if not torch.equal(found, expected):
        sys.stderr.write(f"{what}: {found} instead of {expected}\n")
        sys.stderr.flush()
        os._exit(1)


dist.init_process_group("gloo")
mine = torch.full((2, 3), 1.0)
both = torch.cat([torch.zeros(2, 3), mine])
joined = torch.empty(4, 3)
dist.all_gather_into_tensor(joined, mine)
check(joined, both, "all_gather_into_tensor")
part = torch.empty(2, 3)
dist.reduce_scatter_tensor(part, torch.arange(12.0).view(4, 3))
check(part, 2 * torch.arange(6.0, 12.0).view(2, 3), "reduce_scatter_tensor")
even = torch.empty(4, dtype=torch.int64)
dist.all_to_all_single(even, torch.arange(4) + 10)
check(even, torch.tensor([2, 3, 12, 13]), "all_to_all_single")
# Rank 0 sends 1 and 2 rows, this one 3 and 4.
uneven = torch.empty(6, 2)
dist.all_to_all_single(uneven, torch.full((7, 2), 1.0), [2, 4], [3, 4])
check(uneven, torch.cat([torch.zeros(2, 2), torch.ones(4, 2)]), "uneven all_to_all_single")
dist.send(torch.full((3,), 7.0), 0, tag=2)
answer = torch.zeros(3)
source = dist.recv(answer, tag=3)
check(answer, torch.full((3,), 8.0), f"recv from rank {source}")
dist.barrier()
os._exit(0)  # a thread of Gloo may still hold a tensor, which aborts an interpreter that ends
