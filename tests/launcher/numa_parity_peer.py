"""Which CPUs torch.numa.binding gives each device of the machines in a folder, for numa_parity_test.cc.

argv[1] holds a folder for each machine, as /sys and /proc below it, and a file "allowed" with the CPUs of an affinity in
each line. Writes results.json: machine -> list by affinity of mode -> list by device of sorted CPUs, or the error as a
string.
"""

import builtins
import json
import os
import sys
from types import SimpleNamespace
from unittest import mock

import torch
from torch.numa import binding

real_open, real_listdir = builtins.open, os.listdir


def bound(folder, allowed):
    def below(path):
        return folder + path if isinstance(path, str) and path.startswith("/sys/") else path

    gpus = sorted(real_listdir(folder + "/proc/driver/nvidia/gpus"))

    def properties(index):
        domain, bus, device = gpus[index].split(".")[0].split(":")
        return SimpleNamespace(pci_domain_id=int(domain, 16), pci_bus_id=int(bus, 16), pci_device_id=int(device, 16))

    def cpus_of(mode, index):
        try:
            return sorted(
                binding._get_validated_logical_cpus_to_bind_to(
                    gpu_index=index, numa_options=binding.NumaOptions(affinity_mode=mode)
                )
            )
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    with (
        mock.patch.object(builtins, "open", lambda path, *rest, **named: real_open(below(path), *rest, **named)),
        mock.patch.object(os, "listdir", lambda path: real_listdir(below(path))),
        mock.patch.object(os, "sched_getaffinity", lambda _: allowed),
        mock.patch.object(torch.cuda, "device_count", lambda: len(gpus)),
        mock.patch.object(torch.cuda, "get_device_properties", properties),
        mock.patch.object(binding.shutil, "which", lambda _: "/usr/bin/numactl"),
    ):
        return {mode.value: [cpus_of(mode, index) for index in range(len(gpus))] for mode in binding.AffinityMode}


root = sys.argv[1]
machines = [name for name in real_listdir(root) if os.path.isdir(os.path.join(root, name))]
results = {}
for name in machines:
    folder = os.path.join(root, name)
    with real_open(folder + "/allowed") as file:
        results[name] = [bound(folder, {int(cpu) for cpu in line.split(",")}) for line in file]
with real_open(os.path.join(root, "results.json"), "w") as file:
    json.dump(results, file)
