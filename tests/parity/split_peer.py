"""torch.utils.data.random_split's indices by fractions, for many sizes and seeds."""
import json
import pathlib
import random
import sys

import torch
from torch.utils.data import random_split

folder = pathlib.Path(sys.argv[1])
random.seed(9)
cases = []
for size in (3, 5, 7, 10, 11, 29, 64, 100, 101, 999, 1400, 28709):
    for fractions in ([0.8, 0.1, 0.1], [0.9, 0.1], [0.7, 0.2, 0.1], [0.5, 0.5], [1 / 3, 1 / 3, 1 / 3], [0.33, 0.33, 0.34]):
        seed = random.choice([0, 1, 42, 2**31, 2**32 - 1, 2**40 + 5])
        parts = random_split(range(size), fractions, generator=torch.Generator().manual_seed(seed))
        cases.append({"size": size, "fractions": fractions, "seed": seed, "parts": [list(part.indices) for part in parts]})
(folder / "manifest.json").write_text(json.dumps(cases))
