"""One to four ranks of Python's DDP whose gradients travel by PowerSGD, or whose parameters are of a short type in the passes.

Leaves ranksW.pt: for each row of ROWS the arguments, the weights after 50 steps and how many numbers were sent; for each
row of TYPES the weights and the last step's gradients.
"""

import datetime

import torch
import torch.distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook as power_sgd
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parallel.distributed import _MixedPrecision

from peer_ranks import leave, run_worlds

WORLDS, STEPS, BATCH = (1, 2, 3, 4), 50, 8
DTYPE = torch.float64

# rank, start, rate, feedback, warm start, epsilon, seed, batched
ROWS = [
    (1, 2, 2, True, True, 0.0, 0, False),
    (2, 5, 1.5, True, True, 1e-8, 7, False),
    (4, 3, 1, True, True, 0.0, 1, False),  # orthogonal by QR
    (1, 2, 2, True, False, 0.0, 3, False),
    (2, 0, 1, False, False, 0.0, 4, False),
    (1, 2, 2, False, True, 0.0, 5, False),
    (1, 4, 2, True, True, 0.0, 6, True),
    (2, 2, 2, True, False, 0.0, 2**32 - 1, True),
]
# of parameters, of reductions, of buffers; whether the last layer is frozen. Python cannot do it with no_sync.
TYPES = [
    (torch.bfloat16, torch.float32, torch.bfloat16, False),
    (torch.bfloat16, torch.bfloat16, torch.bfloat16, False),
    (torch.float16, torch.float32, torch.float16, False),
    (torch.bfloat16, torch.float32, torch.bfloat16, True),
]
# Of other worlds than two ranks.
FEW_ROWS, FEW_TYPES = [ROWS[0], ROWS[1], ROWS[6]], TYPES[:1]
NAMES = ("matrix_approximation_rank", "start_powerSGD_iter", "min_compression_rate", "use_error_feedback", "warm_start",
         "orthogonalization_epsilon", "random_seed")


orthogonalize = power_sgd._orthogonalize


def orthogonalize_one(matrix, epsilon=0):
    """The batched hook gives it one matrix where it has insisted on three dimensions."""
    orthogonalize(matrix if matrix.dim() == 3 else matrix.unsqueeze(0), epsilon)


power_sgd._orthogonalize = orthogonalize_one


def new_net():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Conv1d(3, 12, 5), torch.nn.Tanh(), torch.nn.Flatten(),
                               torch.nn.Linear(96, 24), torch.nn.Tanh(), torch.nn.Linear(24, 24), torch.nn.Tanh(),
                               torch.nn.Linear(24, 4)).to(DTYPE)


def train_row(rank, row, inputs):
    net = new_net()
    network = DistributedDataParallel(net)
    state = power_sgd.PowerSGDState(None, **dict(zip(NAMES, row)))
    network.register_comm_hook(state, power_sgd.batched_powerSGD_hook if row[-1] else power_sgd.powerSGD_hook)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for step in range(STEPS):
        optimizer.zero_grad()
        (network(inputs[step, rank]) - inputs[step, rank, :, 0, :4]).square().mean().backward()
        optimizer.step()
    return {"row": list(row), "final": net.state_dict(), "compression": list(state.compression_stats()[1:])}


class Still:
    """A stream or an event of a device on which everything happens in turn: DDP asks for those of a GPU here."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def record(self, *_, **__):
        pass

    wait = wait_stream = record


def new_normalized_net():
    torch.manual_seed(2)
    return torch.nn.Sequential(torch.nn.Linear(12, 16), torch.nn.BatchNorm1d(16), torch.nn.Tanh(),
                               torch.nn.Linear(16, 4))


def train_short(rank, row, inputs):
    *types, frozen = row
    torch.Stream = torch.Event = torch.accelerator.current_stream = Still
    net = new_normalized_net()
    for parameter in net[3].parameters():
        parameter.requires_grad = not frozen
    network = DistributedDataParallel(net, mixed_precision=_MixedPrecision(*types))
    # The first step's averages are of memory that nobody has written: the buckets are right from their rebuilding on.
    network(inputs[0, rank, :, 0].float()).float().sum().backward()
    net.load_state_dict(new_normalized_net().state_dict())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for step in range(STEPS):
        optimizer.zero_grad()
        network(inputs[step, rank, :, 0].float()).float().square().mean().backward()
        optimizer.step()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters() if parameter.grad is not None}
    return {"types": [str(type).removeprefix("torch.") for type in types], "frozen": frozen,
            "final": net.state_dict(), "gradients": gradients}


def train(rank, world, port):
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", port, world, is_master=False, timeout=datetime.timedelta(minutes=2))
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    inputs = torch.randn(STEPS, world, BATCH, 3, 12, generator=torch.Generator().manual_seed(4), dtype=DTYPE)
    record = {"initial": new_net().state_dict(), "inputs": inputs}
    record["rows"] = [train_row(rank, row, inputs) for row in (ROWS if world == 2 else FEW_ROWS)]
    record["short_initial"] = new_normalized_net().state_dict()
    record["short"] = [train_short(rank, row, inputs) for row in (TYPES if world == 2 else FEW_TYPES)]
    leave(rank, world, record)


if __name__ == "__main__":
    run_worlds(train, WORLDS)
