"""torch.utils.data.DistributedSampler's indices for many sizes."""
import json
import pathlib
import random
import sys

from torch.utils.data import DistributedSampler

folder = pathlib.Path(sys.argv[1])
random.seed(3)
cases = []


def record(size, world, rank, epoch, seed, shuffle, drop_last):
    sampler = DistributedSampler(range(size), num_replicas=world, rank=rank, shuffle=shuffle, seed=seed, drop_last=drop_last)
    sampler.set_epoch(epoch)
    cases.append({"size": size, "world": world, "rank": rank, "epoch": epoch, "seed": seed, "shuffle": shuffle,
                  "drop_last": drop_last, "length": len(sampler), "indices": list(sampler)})


for size in (1, 2, 3, 5, 7, 10, 29, 64, 100, 1000):
    for world in (1, 2, 3, 4, 7, 16, 40):
        for drop_last in (False, True):
            record(size, world, random.randrange(world), random.randrange(50), random.choice([0, 42, 2**31, 2**32 - 1, 2**40 + 5]),
                   random.random() < 0.8, drop_last)
for world in (1, 2, 3):
    for rank in range(world):
        record(1400, world, rank, 7, 42, True, False)
record(100_000, 8, 5, 3, 42, True, False)

(folder / "manifest.json").write_text(json.dumps(cases))
