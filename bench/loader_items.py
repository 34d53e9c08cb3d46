"""Items a second of torch.utils.data.DataLoader: the Python side of bench/loader_bench.py.

    loader_items.py tensors|pictures|training WORKERS SECONDS FOLDER
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


class Training(Pictures):
    def __init__(self, folder):
        from torchvision.transforms import v2
        super().__init__(folder)
        self.transform = v2.Compose([v2.Resize(232), v2.RandomCrop(224), v2.RandomHorizontalFlip(),
                                     v2.ToDtype(torch.float32, scale=True),
                                     v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])

    def __getitem__(self, index):
        picture, label = super().__getitem__(index)
        return self.transform(picture), label


def main():
    kind, workers, seconds, folder = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    torch.set_num_threads(1)
    dataset = {"tensors": lambda _: Tensors(), "pictures": Pictures, "training": Training}[kind](folder)
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
