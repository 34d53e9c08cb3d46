"""The peer of input_bench: torchvision's input pipeline over the same files, one pass for each line read from standard input."""
import sys
import time

import torch
from torchvision import datasets, transforms

torch.set_num_threads(1)
folder, size = sys.argv[1], int(sys.argv[2])
resize = round(size * 256 / 224)
train = transforms.Compose([
    transforms.Resize((resize, resize)), transforms.RandomCrop(size), transforms.RandomHorizontalFlip(), transforms.RandomRotation(15),
    transforms.RandomVerticalFlip(), transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
pictures = datasets.ImageFolder(folder, train)
for _ in sys.stdin:
    wall, processor = time.perf_counter(), time.process_time()
    for index in range(len(pictures)):
        pictures[index]
    print(len(pictures), time.perf_counter() - wall, time.process_time() - processor, flush=True)
