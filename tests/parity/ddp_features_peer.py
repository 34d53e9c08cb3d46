"""Python's DDP on one to four ranks with what it can be asked for, its Join, and BatchNorm over a batch that ranks share.

Leaves ranksW.pt: for each row of PAIRS the weights after 50 steps; for both ways of dividing the model after Join with
3, 7, 11 and 15 batches; what BatchNorm makes of a whole batch, and its gradients (SyncBatchNorm's, which runs on GPUs
alone).
"""

import datetime

import torch
import torch.distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook as power_sgd
from torch.distributed.algorithms.join import Join
from torch.distributed.nn.functional import all_reduce as sum_of_all  # with a gradient
from torch.nn.parallel import DistributedDataParallel

from peer_ranks import leave, run_worlds

STEPS, BATCH = 50, 4
WORLDS = (1, 2, 3, 4)

# micro batches, parameters without a gradient, static graph, norm, hook, optimizer: every pair of values that can be together.
# PowerSGD cannot with find_unused_parameters: its second sum is asked for on Gloo's thread, and that of the parameters used
# on another, in an order that each rank has its own. Nor with a norm, whose buckets are not Python's: see the test.
PAIRS = [
    (1, "none", False, True, "none", "sgd"),
    (2, "none", True, False, "fp16", "adam"),
    (1, "none", False, False, "bf16", "torch_sgd"),
    (2, "always", False, False, "none", "adam"),
    (1, "always", True, True, "fp16", "torch_sgd"),
    (2, "always", False, False, "bf16", "sgd"),
    (2, "varying", False, True, "none", "torch_sgd"),
    (1, "varying", False, False, "fp16", "sgd"),
    (1, "varying", False, True, "bf16", "adam"),
    (1, "none", True, True, "bf16", "sgd"),
    (2, "always", True, False, "none", "sgd"),
    (2, "none", False, False, "power_sgd", "sgd"),
    (1, "always", True, False, "power_sgd", "adam"),
    (2, "none", True, False, "power_sgd", "torch_sgd"),
]
HOOKS = {"fp16": default_hooks.fp16_compress_hook, "bf16": default_hooks.bf16_compress_hook}


class NormOfAll(torch.nn.BatchNorm1d):
    """SyncBatchNorm for a CPU, which Python's is not for."""

    def forward(self, x):
        count = len(x) * dist.get_world_size()
        mean = sum_of_all(x.sum(0)) / count
        variance = sum_of_all((x - mean).square().sum(0)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        return (x - mean) / (variance + self.eps).sqrt() * self.weight + self.bias


class Net(torch.nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.first = torch.nn.Linear(6, 8)
        self.a = torch.nn.Linear(8, 3)
        self.b = torch.nn.Linear(8, 3)
        self.norm = NormOfAll(8) if norm else None

    def forward(self, x, with_b):
        hidden = self.first(x).tanh()
        if self.norm:
            hidden = self.norm(hidden)
        return (self.a(hidden), self.b(hidden)) if with_b else (self.a(hidden),)


def new_net(norm):
    torch.manual_seed(1)
    return Net(norm)


def train_pair(rank, pair, inputs):
    micro_batches, unused, static, norm, hook, optimizer_name = pair
    net = new_net(norm)
    # In float64 where there is a norm, whose sums are not Python's to the last bit: a hook would round them apart. And
    # with PowerSGD: what float32 rounds otherwise, the next step's matrices begin with.
    if norm or hook == "power_sgd":
        net.double()
    inputs = inputs.to(net.a.weight.dtype)
    find = unused != "none" and not static
    network = DistributedDataParallel(net, find_unused_parameters=find, static_graph=static)
    if hook == "power_sgd":
        state = power_sgd.PowerSGDState(None, matrix_approximation_rank=1, start_powerSGD_iter=4, min_compression_rate=1.5)
        network.register_comm_hook(state, power_sgd.powerSGD_hook)
    elif hook != "none":
        network.register_comm_hook(None, HOOKS[hook])
    if optimizer_name == "adam":
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    else:
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)

    def backward(step, micro):
        with_b = unused == "none" or (unused == "varying" and (step + rank) % 3 != 0)
        sum(output.square().mean() for output in network(inputs[step, micro, rank], with_b)).backward()

    for step in range(STEPS):
        optimizer.zero_grad()
        count = 1 if step == 0 else micro_batches  # a static graph's first step cannot be one without a reduction
        for micro in range(count - 1):
            with network.no_sync():
                backward(step, micro)
        backward(step, count - 1)
        optimizer.step()
    return net.state_dict()


def train_unevenly(rank, inputs, divide):
    torch.manual_seed(2)
    net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 2))
    record = {"divide": divide, "initial": {key: value.clone() for key, value in net.state_dict().items()}}
    network = DistributedDataParallel(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with Join([network], divide_by_initial_world_size=divide):
        for step in range(3 + 4 * rank):
            optimizer.zero_grad()
            network(inputs[step, 0, rank]).square().mean().backward()
            optimizer.step()
    record["final"] = net.state_dict()
    return record


def normalize(world):
    """Each rank would have two samples, the last one a third."""
    torch.manual_seed(3)
    norm = torch.nn.BatchNorm2d(3, momentum=0.2).double()
    with torch.no_grad():
        norm.weight.copy_(torch.randn(3))
        norm.bias.copy_(torch.randn(3))
    record = {"initial": {key: value.clone() for key, value in norm.state_dict().items()}}
    record["input"] = torch.randn(2 * world + 1, 3, 4, 2, dtype=torch.float64) * 3 + 1
    record["factor"] = torch.randn(2 * world + 1, 3, 4, 2, dtype=torch.float64)
    x = record["input"].clone().requires_grad_()
    y = norm(x)
    (y * record["factor"]).sum().backward()
    record["output"], record["input_gradient"] = y.detach(), x.grad
    record["weight_gradient"], record["bias_gradient"] = norm.weight.grad, norm.bias.grad
    record["final"] = norm.state_dict()
    return record


def train(rank, world, port):
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", port, world, is_master=False, timeout=datetime.timedelta(minutes=2))
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    inputs = torch.randn(STEPS, 2, world, BATCH, 6, generator=torch.Generator().manual_seed(4))
    record = {"initial": new_net(False).state_dict(), "initial_norm": new_net(True).state_dict(), "inputs": inputs,
              "pairs": [], "uneven": []}
    for pair in PAIRS:
        record["pairs"].append({"pair": list(pair), "final": train_pair(rank, pair, inputs)})
    for divide in (True, False):
        record["uneven"].append(train_unevenly(rank, inputs, divide))
    record["norm"] = normalize(world)
    leave(rank, world, record)


if __name__ == "__main__":
    run_worlds(train, WORLDS)
