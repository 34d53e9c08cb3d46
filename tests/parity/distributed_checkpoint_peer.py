"""Folders of torch.distributed.checkpoint. `write`: Python's, of one process and of ranks of both FSDPs. `check`: loads C++'s."""

import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, get_optimizer_state_dict, get_state_dict
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.state_dict import set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

from peer_values import FOLDER, finish, load, require, save

RANKS = 3
FSDP1 = {"fsdp1": True, "fsdp1_flat": False}  # use_orig_params


def network():
    return torch.nn.Sequential(torch.nn.Linear(4, 7), torch.nn.BatchNorm1d(7), torch.nn.Linear(7, 2))


def adam(net):
    matrices = [parameter for parameter in net.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in net.parameters() if parameter.dim() == 1]
    return torch.optim.Adam([{"params": matrices}, {"params": vectors, "lr": 0.04}], lr=0.02, betas=(0.8, 0.95))


def step(net, optimizer):
    optimizer.zero_grad()
    net(torch.linspace(-1, 1, 24).view(6, 4)).square().sum().backward()
    optimizer.step()


def save_both(name, net, optimizer, more):
    """The folder, and as one file what it holds."""
    model, optim = get_state_dict(net, optimizer)
    dcp.save({"model": model, "optim": optim, **more}, checkpoint_id=str(FOLDER / name))
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    whole = {"model": get_model_state_dict(net, options=options), "optim": get_optimizer_state_dict(net, optimizer, options=options)}
    if not dist.is_initialized() or dist.get_rank() == 0:
        save(f"{name}.pt", whole)


def load_ours(net, optimizer):
    model, optim = get_state_dict(net, optimizer)
    state = {"model": model, "optim": optim, "epoch": 0, "list": [0, torch.zeros(2), {"a": 0.0}], "empty": torch.empty(0, 3)}
    dcp.load(state, checkpoint_id=str(FOLDER / "ours"))
    set_state_dict(net, optimizer, model_state_dict=state["model"], optim_state_dict=state["optim"])
    require(state["epoch"] == 9, "a number")
    require(state["list"][0] == 4 and torch.equal(state["list"][1], torch.tensor([1.0, 2.0])), "a list")
    require(state["list"][2]["a"] == 2.5, "a dict in a list")


def compare(net, optimizer, where):
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    model = get_model_state_dict(net, options=options)
    optim = get_optimizer_state_dict(net, optimizer, options=options)
    if dist.is_initialized() and dist.get_rank() != 0:
        return
    ours = load("ours.pt")
    for key, value in ours["model"].items():
        require(torch.equal(model[key], value), f"{where}: {key}")
    for name, state in ours["optim"]["state"].items():
        for key, value in state.items():
            require(torch.equal(optim["state"][name][key], value), f"{where}: {name} {key}")
    rates = {name: group["lr"] for group in optim["param_groups"] for name in group["params"]}
    for name, rate in rates.items():
        require(rate == (0.05 if name in ("0.weight", "2.weight") else 0.1), f"{where}: the learning rate of {name}")


def write_fsdp1(name, use_orig_params):
    """Its tensors are ShardedTensors, of one flat parameter for each layer, which cannot be in two groups."""
    torch.manual_seed(4)
    net = FullyShardedDataParallel(network(), auto_wrap_policy=ModuleWrapPolicy({torch.nn.Linear}),
                                   device_id=torch.device("cpu"), use_orig_params=use_orig_params)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02, betas=(0.8, 0.95))
    step(net, optimizer)
    model, optim = get_state_dict(net, optimizer)
    dcp.save({"model": model, "optim": optim, "epoch": 3}, checkpoint_id=str(FOLDER / name))


def sharded(rank, mode, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{mode}", rank=rank, world_size=RANKS)
    torch.manual_seed(3)
    net = network()
    fully_shard(net, mesh=init_device_mesh("cpu", (RANKS,)))
    optimizer = adam(net)
    step(net, optimizer)
    if mode == "write":
        save_both("fsdp", net, optimizer, {"epoch": 3})
        for name, use_orig_params in FSDP1.items():
            write_fsdp1(name, use_orig_params)
    else:
        load_ours(net, optimizer)
        compare(net, optimizer, "FSDP")
    dist.destroy_process_group()


def write():
    torch.manual_seed(2)
    net = network()
    optimizer = adam(net)
    step(net, optimizer)
    more = {"epoch": 3, "half": torch.ones(3, 2).bfloat16(), "list": [1, torch.ones(2), {"a": 2.5}], "name": "x", "none": None,
            "rows": [torch.arange(6).view(2, 3).t(), torch.nn.Parameter(torch.ones(1))]}
    save_both("plain", net, optimizer, more)


def check():
    net = network()
    optimizer = adam(net)
    load_ours(net, optimizer)
    compare(net, optimizer, "one process")


if __name__ == "__main__":
    mode = sys.argv[2]
    {"write": write, "check": check}[mode]()
    torch.multiprocessing.spawn(sharded, (mode, str(FOLDER)), nprocs=RANKS)
    if mode == "write":
        for name in FSDP1:  # whose full state_dict, on a CPU, ends in a segmentation fault
            dcp_to_torch_save(FOLDER / name, FOLDER / f"{name}.pt")
    finish()
