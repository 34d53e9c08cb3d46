"""Checkpoints both ways. `write`: files that PyTorch's users have. `check`: loads the C++ trainer's file and goes on from it."""

import argparse
import collections
import sys

import torch

from emotion_net import EmotionNet
from peer_values import FOLDER, finish, load, require, save


def write_zoo():
    torch.manual_seed(1)
    base = torch.randn(4, 5)
    types = {
        str(dtype)[6:]: (torch.rand(3, 4) * 100).to(dtype)
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
                      torch.uint8, torch.bool, torch.complex64, torch.uint16, torch.uint32, torch.float8_e4m3fn)
    }
    odd = {
        "view": base[1:3, ::2],
        "transposed": base.t(),
        "expanded": torch.randn(3, 1).expand(3, 4),
        "channels_last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "conjugate": torch.randn(3, dtype=torch.complex64).conj(),
        "negative": torch.randn(3, dtype=torch.complex64).conj().imag,
    }
    save("zoo.pt", {
        "types": types,
        "odd": odd,
        "plain": {key: value.detach().resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format) for key, value in odd.items()},
        "base": base,
        "seed": 2**40 + 7,
        "negative": -(2**31) - 1,
        "numbers": [1, 2.5, True, None, "text", (1, 2), {"nested": {3: "three"}}],
        "size": torch.Size([2, 3]),
        "dtype": torch.float16,
        "rng": torch.get_rng_state(),
        "many": collections.OrderedDict((f"key {i}", i) for i in range(3000)),
    })
    unknown = {"epoch": 3, "counter": collections.Counter("hello"), "device": torch.device("cpu")}
    save("unknown.pt", {**unknown, "options": argparse.Namespace(lr=0.1)})
    torch.save({"epoch": 3}, FOLDER / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3}, FOLDER / "protocol4.pt", pickle_protocol=4)
    torch.jit.script(torch.nn.Linear(2, 2)).save(FOLDER / "script.pt")


def write_training():
    model = EmotionNet(7)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(torch.randn(4, 3, 32, 32)), torch.arange(4)).backward()
        optimizer.step()
        scheduler.step()
    wrapped = collections.OrderedDict(("module." + key, value) for key, value in model.state_dict().items())
    save("training.pt", {
        "epoch": 3,
        "model_state_dict": model.state_dict(),
        "wrapped": wrapped,
        "optimizer_state_dict": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
    })


def check():
    # As a user reads it: nothing but weights is allowed to be in the file.
    ours = load("ours.pt")
    mapped = torch.load(FOLDER / "ours.pt", weights_only=True, mmap=True)
    require(ours["epoch"] == 5 and ours["seed"] == 2**40 + 7, "plain values")
    require(ours["history"] == [(0, 0.5), (1, 0.25)], "nested values")
    model = EmotionNet(7)
    model.load_state_dict(ours["model_state_dict"])
    require(list(model.state_dict()) == list(ours["model_state_dict"]), "the order of names")
    require(all(torch.equal(v, mapped["model_state_dict"][k]) for k, v in model.state_dict().items()), "the mapped file")
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)
    reference = optimizer.state_dict()["param_groups"][0]
    optimizer.load_state_dict(ours["optimizer_state_dict"])
    require(set(ours["optimizer_state_dict"]["param_groups"][0]) == set(reference), "the keys of a parameter group")
    expected_keys = set(scheduler.state_dict())
    require(set(ours["scheduler"]) == expected_keys, f"the scheduler's keys {expected_keys}")
    scheduler.load_state_dict(ours["scheduler"])
    require(scheduler.get_last_lr() == [0.0025], "the learning rate")
    scaler = torch.amp.GradScaler("cpu")
    require(set(ours["scaler"]) == set(scaler.state_dict()), "the scaler's keys")
    scaler.load_state_dict(ours["scaler"])
    require(scaler.state_dict() == ours["scaler"], "the scaler's state")

    # One more step from given gradients must end where the C++ trainer ended.
    for parameter, gradient in zip(model.parameters(), load("gradients.pt")):
        parameter.grad = gradient.clone()
    optimizer.step()
    after = load("after.pt")
    for key, value in model.state_dict().items():
        require(torch.equal(value, after["model_state_dict"][key]), f"{key} after one more step")
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            require(torch.equal(value, after["optimizer_state_dict"]["state"][index][key]), f"optimizer state {index} {key}")


if sys.argv[2] == "write":
    write_zoo()
    write_training()
else:
    check()
finish()
