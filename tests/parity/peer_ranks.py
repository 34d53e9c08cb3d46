"""Python ranks of one process group, for what C++ ranks are compared with."""

import os
import sys

import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from peer_values import finish, save


def leave(rank, world, record):
    """The end of a rank's part: rank 0's record as ranksW.pt."""
    if rank == 0:
        save(f"ranks{world}.pt", record)
    dist.barrier()
    dist.destroy_process_group()
    # A thread of Gloo may still hold a tensor, which aborts an interpreter that ends (pytorch/pytorch#179291).
    os._exit(0)


def run_worlds(train, worlds):
    """train(rank, world, port of the store) on every rank of each world, all of them at once: a rank waits for the others
    more than it computes. Forked: they need not import torch again."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    servers = [dist.TCPStore("127.0.0.1", 0, world, is_master=True, wait_for_workers=False) for world in worlds]
    running = [multiprocessing.start_processes(train, (world, server.port), nprocs=world, start_method="fork", join=False)
               for world, server in zip(worlds, servers)]
    for ranks in running:
        while not ranks.join():
            pass
    finish()
    sys.exit(0)


def run_two_and_three(train):
    """train(rank, world, port of the store) on two ranks, then on three."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    for world in (2, 3):
        server = dist.TCPStore("127.0.0.1", 0, world, is_master=True, wait_for_workers=False)
        multiprocessing.spawn(train, (world, server.port), nprocs=world)
    finish()
    sys.exit(0)
