"""torch.utils.data's samplers and random_split for 1,000 random sizes each: two passes of every one."""
import json
import pathlib
import random
import sys

import torch
from torch.utils.data import (DistributedSampler, RandomSampler, SequentialSampler, SubsetRandomSampler,
                              WeightedRandomSampler, random_split)

folder = pathlib.Path(sys.argv[1])
random.seed(14)
cases = []


def generator(seed):
    return torch.Generator().manual_seed(seed)


def sizes():
    return random.choice([random.randint(1, 8), random.randint(1, 100), random.randint(100, 400)])


for number in range(10_000):
    size, seed = sizes(), random.choice([0, 1, 42, 2**31, 2**32 - 1, 2**40 + 5, random.getrandbits(30)])
    kind = ["sequential", "random", "replacement", "number", "subset", "weighted", "weighted_once", "distributed",
            "split", "lengths"][number % 10]
    case = {"kind": kind, "size": size, "seed": seed}
    if kind == "sequential":
        sampler = SequentialSampler(range(size))
    elif kind == "random":
        sampler = RandomSampler(range(size), generator=generator(seed))
    elif kind in ("replacement", "number"):
        case["number"] = random.choice([sizes(), size, 2 * size, 64])
        sampler = RandomSampler(range(size), kind == "replacement", case["number"], generator(seed))
    elif kind == "subset":
        case["subset"] = [random.randrange(1000) for _ in range(size)]
        sampler = SubsetRandomSampler(case["subset"], generator(seed))
    elif kind in ("weighted", "weighted_once"):
        case["weights"] = [random.random() + 1e-3 for _ in range(size)]
        case["number"] = sizes() if kind == "weighted" else random.randint(1, size)
        sampler = WeightedRandomSampler(case["weights"], case["number"], kind == "weighted", generator(seed))
    elif kind == "distributed":
        case |= {"world": random.randint(1, 9), "shuffle": random.random() < 0.8, "drop_last": random.random() < 0.5}
        case["rank"] = random.randrange(case["world"])
        sampler = DistributedSampler(range(size), case["world"], case["rank"], case["shuffle"], seed, case["drop_last"])
    else:
        parts = random.choice([[0.8, 0.1, 0.1], [0.9, 0.1], [1 / 3, 1 / 3, 1 / 3]])
        if kind == "lengths":
            first = random.randint(0, size)
            parts = [first, size - first]
        if sum(parts) == 1 and kind == "lengths":
            parts = [1.0]
        case |= {"parts": parts, "indices": [list(one.indices) for one in random_split(range(size), parts, generator(seed))]}
    if "parts" not in case:
        case["passes"] = []
        for epoch in range(2):
            if kind == "distributed":
                sampler.set_epoch(epoch)
            case["passes"].append(list(sampler))
        case["length"] = len(sampler)
    cases.append(case)

(folder / "manifest.json").write_text(json.dumps(cases))
