"""Items a second of torch.utils.data.DataLoader: the Python side of bench/loader_bench.py.

    loader_items.py tensors|pictures WORKERS SECONDS FOLDER
"""

import pathlib
import sys
import time

import torch
from torch.utils.data import DataLoader, Dataset


class Tensors(Dataset):
    def __len__(self):
        return 20_000

    def __getitem__(self, index):
        return torch.full((16,), float(index)), index % 10


class Pictures(Dataset):
    def __init__(self, folder):
        self.files = sorted(str(file) for file in pathlib.Path(folder).iterdir())

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        from torchvision.io import decode_jpeg, read_file
        return decode_jpeg(read_file(self.files[index])), index % 10


def main():
    kind, workers, seconds, folder = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    torch.set_num_threads(1)
    dataset = Tensors() if kind == "tensors" else Pictures(folder)
    more = {"persistent_workers": True, "prefetch_factor": 4} if workers else {}
    loader = DataLoader(dataset, batch_size=64, shuffle=True, num_workers=workers, **more)
    for _ in loader:  # the first pass starts the processes and is not counted
        pass
    items, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for _, labels in loader:
            items += labels.size(0)
    print(f"items_per_second {items / (time.perf_counter() - begin):.1f}")


main()
