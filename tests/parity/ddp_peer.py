"""Python's DistributedDataParallel on two and three ranks, for comparison with ours.

EmotionNet in train mode, float64 (so that only an error can make a difference), each rank with its own part of the batch,
three Adam steps. Leaves, for W ranks, ranksW.pt: the initial weights, all inputs and targets, each step's gradients, and
weights and buffers at the end.
"""

import datetime

import torch
import torch.distributed as dist
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from emotion_net import EmotionNet
from peer_ranks import leave, run_two_and_three

STEPS, PER_RANK = 3, 4


def initial_model():
    torch.manual_seed(3)
    return EmotionNet(7).double()


def batches(world):
    generator = torch.Generator().manual_seed(4)
    count = world * PER_RANK
    return [
        (
            torch.randn(count, 3, 64, 64, generator=generator, dtype=torch.float64),
            torch.randint(0, 7, (count,), generator=generator),
        )
        for _ in range(STEPS)
    ]


def train(rank, world, port):
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", port, world, is_master=False, timeout=datetime.timedelta(minutes=2))
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    model = initial_model()
    record = {"initial": {key: value.clone() for key, value in model.state_dict().items()}}
    network = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    record["inputs"], record["targets"], record["gradients"] = [], [], []
    for inputs, targets in batches(world):
        own = slice(rank * PER_RANK, (rank + 1) * PER_RANK)
        optimizer.zero_grad()
        F.cross_entropy(network(inputs[own]), targets[own]).backward()
        record["inputs"].append(inputs)
        record["targets"].append(targets)
        record["gradients"].append([parameter.grad.clone() for parameter in model.parameters()])
        optimizer.step()
    record["final"] = model.state_dict()
    leave(rank, world, record)


if __name__ == "__main__":
    run_two_and_three(train)
