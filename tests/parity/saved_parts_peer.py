"""States of torch.optim and of the random generator. `write`: Python's. `check`, `check_random`: loads those of C++."""

import sys

import torch

from peer_values import finish, load, require, save

OPTIMIZERS = {
    "adam": lambda groups: torch.optim.Adam(groups, lr=0.02, betas=(0.8, 0.95), weight_decay=0.01, amsgrad=True),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.02, eps=1e-6),
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.02, momentum=0.9, weight_decay=0.01, nesterov=True),
    "rmsprop": lambda groups: torch.optim.RMSprop(groups, lr=0.02, alpha=0.9, momentum=0.5, centered=True),
    "adagrad": lambda groups: torch.optim.Adagrad(groups, lr=0.02, lr_decay=0.1, initial_accumulator_value=0.1),
}


def made(name):
    net = torch.nn.Linear(4, 3)
    return net, OPTIMIZERS[name]([{"params": [net.weight]}, {"params": [net.bias], "lr": 0.05}])


def write():
    torch.manual_seed(5)
    for name in OPTIMIZERS:
        net, optimizer = made(name)
        for _ in range(2):
            optimizer.zero_grad()
            net(torch.randn(6, 4)).square().sum().backward()
            optimizer.step()
        copy = {key: value.clone() for key, value in net.state_dict().items()}
        save("state.pt", optimizer.state_dict())
        before = {"model_state_dict": copy, "optimizer_state_dict": load("state.pt")}
        gradients = [torch.randn(3, 4), torch.randn(3)]
        net.weight.grad, net.bias.grad = (gradient.clone() for gradient in gradients)
        optimizer.step()
        save(f"{name}.pt", {"before": before, "gradients": gradients, "after": net.state_dict()})
    state = torch.get_rng_state()
    save("random.pt", {"rng_states": [state], "next": torch.randn(5)})


def check():
    for name in OPTIMIZERS:
        ours = load(f"our_{name}.pt")
        file = load(f"{name}.pt")
        theirs = file["before"]["optimizer_state_dict"]
        for index, group in enumerate(theirs["param_groups"]):
            require({**group, "fused": None} == {**ours["param_groups"][index], "fused": None}, f"{name}: group {index}")
        require(ours["state"].keys() == theirs["state"].keys(), f"{name}: the parameters of the state")
        for index, state in theirs["state"].items():
            require(ours["state"][index].keys() == state.keys(), f"{name}: the keys of the state")
        net, optimizer = made(name)
        net.load_state_dict(file["before"]["model_state_dict"])
        optimizer.load_state_dict(ours)
        net.weight.grad, net.bias.grad = (gradient.clone() for gradient in file["gradients"])
        optimizer.step()
        for key, value in net.state_dict().items():
            require(torch.equal(value, file["after"][key]), f"{name}: {key} after one more step")


def check_random():
    ours = load("our_random.pt")
    torch.set_rng_state(ours["rng_states"][0])
    require(torch.equal(torch.randn(5), ours["next"]), "the next random numbers")


{"write": write, "check": check, "check_random": check_random}[sys.argv[2]]()
finish()
