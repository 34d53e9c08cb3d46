"""The worker's numbers against Python's on the same device."""

import csv
import json
import math
import re

from gpu_check.machine import Unavailable, Wrong

# Of both sides: TF32 keeps 10 bits of a factor, and Python has it on for convolutions.
EXACT = {"NVIDIA_TF32_OVERRIDE": "0"}


def still_transforms(machine, size):
    """A file of transforms in which nothing is drawn."""
    steps = [
        {"name": "Resize", "size": [size, size]},
        {"name": "ToTensor"},
        {"name": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    ]
    path = machine.work / f"still-{size}.json"
    path.write_text(json.dumps({"train": steps, "validation": steps}))
    return path


def logits(machine):
    machine.need_device()
    most, size = 1e-4, 64
    faces = machine.drawn_faces(20 if machine.on_gpu else 5) / "val"
    weights = machine.work / "weights.pt"
    machine.peer("weights", weights)
    theirs = machine.peer("probabilities", machine.device, weights, faces, size, environment=EXACT)
    said = machine.run(
        [machine.worker, "predict", "--checkpoint", weights, "--image-size", size, "--classes", "a,b,c,d,e,f,g",
         "--json", "--device", machine.device, faces],
        environment=EXACT)
    ours = json.loads(said[said.index("["):])
    apart = 0.0
    for picture in ours:
        name = picture["file"].split("/val/")[-1]
        apart = max(apart, *(abs(math.log(p) - q) for p, q in zip(picture["probabilities"].values(), theirs[name])))
    if len(ours) != len(theirs) or not apart <= most:
        raise Wrong(f"log-probabilities of {len(ours)} pictures are up to {apart:.1e} apart (at most {most:.0e})")
    return f"log-probabilities of {len(ours)} pictures at {size}²: at most {apart:.1e} apart", {"apart": apart}


def losses(folder):
    with open(folder / "metrics.csv", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    return float(last["train_loss"]), float(last["val_loss"])


def train_both(machine, amp):
    """Python trains an epoch, then both go on from its checkpoint; the worker's difference beside Python's own."""
    machine.need_device()
    size, per_class, batch, epochs = (64, 40, 28, 6) if machine.on_gpu else (32, 4, 14, 3 if amp == "off" else 2)
    faces = machine.drawn_faces(per_class)
    folder = machine.work / f"adam-{amp}"
    folder.mkdir()
    environment = EXACT if amp == "off" else {}
    theirs = machine.peer("train", machine.device, amp, faces, size, batch, epochs, folder, environment=environment)
    machine.run(
        [machine.worker, "--device", machine.device, "--data", faces, "--transforms", still_transforms(machine, size),
         "--image-size", size, "--batch-size", batch, "--epochs", epochs, "--patience", "0", "--num-workers", "0",
         "--no-channels-last", "--amp", amp, "--resume", folder / "epoch.pt", "--output-dir", folder / "worker"],
        environment=environment)
    ours, own = machine.peer("compare", folder / "end.pt", folder / "epoch.pt", folder / "worker" / "last_model.pt",
                             folder / "again.pt")
    train_loss, val_loss = losses(folder / "worker")
    figures = {
        "steps": theirs["steps"],
        "of_the_way": ours["of_the_way"],
        "of_the_way_python": own["of_the_way"],
        "statistics": ours["statistics"],
        "train_loss": [train_loss, theirs["train_loss"], theirs["again_loss"]],
        "val_loss": [val_loss, theirs["val_loss"], theirs["again_val_loss"]],
        "scaler": ours["scaler"],
    }
    return figures


def judge(figures, floor, loss_floor):
    """Rounding is enlarged by every step, so the bound is what it makes of Python's own two runs, or `floor`."""
    bound = max(floor, 3 * figures["of_the_way_python"])
    ours, python, again = figures["train_loss"]
    loss_bound = max(loss_floor, 3 * abs(python - again))
    words = (f"{figures['steps']} steps: weights {figures['of_the_way']:.1e} of the way apart "
             f"(Python of itself {figures['of_the_way_python']:.1e}), loss {ours:.4f} and {python:.4f}")
    if not figures["of_the_way"] <= bound or not abs(ours - python) <= loss_bound:
        raise Wrong(f"{words}; at most {bound:.1e} and {loss_bound:.1e}")
    return words


def adam_fp32(machine):
    figures = train_both(machine, "off")
    return judge(figures, 1e-3, 1e-3), figures


def amp_bf16(machine):
    if machine.on_gpu and not machine.facts["bf16"]:
        raise Unavailable("the GPU has no bf16")
    figures = train_both(machine, "bf16")
    return judge(figures, 0.05, 0.01), figures


def amp_fp16(machine):
    if not machine.on_gpu:
        raise Unavailable("fp16 is emulated on most CPUs, which takes minutes")
    figures = train_both(machine, "fp16")
    words = judge(figures, 0.05, 0.01)
    ours, theirs = figures["scaler"]
    if ours != theirs:
        raise Wrong(f"the gradient scaler ends with {ours}, Python's with {theirs}")
    return f"{words}; scaler at {theirs.get('scale')} on both sides", figures


def cuda_graph(machine):
    """Steps that are recorded as a CUDA graph against the same ones started operation by operation."""
    if not machine.on_gpu:
        raise Unavailable("a CPU records no steps")
    machine.need_device()
    faces, weights = machine.drawn_faces(128), machine.work / "graph-start.pt"
    machine.peer("weights", weights)
    rates = {}
    for name, choice in (("off", "off"), ("again", "off"), ("on", "on")):
        said = machine.run(
            [machine.worker, "--device", "cuda", "--data", faces, "--image-size", 64, "--batch-size", 32, "--epochs", 3,
             "--patience", "0", "--amp", "off", "--deterministic", "--weights", weights, "--cuda-graph", choice,
             "--output-dir", machine.work / f"graph-{name}"],
            environment=EXACT)
        rates[name] = float(re.findall(r"([0-9.]+) images/s", said)[-1])
        if choice == "on" and ("cannot be recorded" in said or "are recorded as a CUDA graph" not in said):
            raise Wrong("no step was recorded: " + said.strip().splitlines()[-1])
    last = [machine.work / f"graph-{name}" / "last_model.pt" for name in ("off", "on", "again")]
    ours, own = machine.peer("compare", last[0], weights, last[1], last[2])
    bound = max(1e-3, 3 * own["of_the_way"])
    words = (f"84 steps of 32 at 64², 73 recorded: weights {ours['of_the_way']:.1e} of the way apart (without, of itself "
             f"{own['of_the_way']:.1e}); {rates['on']:.0f} images/s, without {max(rates['off'], rates['again']):.0f}")
    if not ours["of_the_way"] <= bound:
        raise Wrong(f"{words}; at most {bound:.1e}")
    return words, {"of_the_way": ours["of_the_way"], "without": own["of_the_way"], "images_per_second": rates}


# Of c10d's Reducer when it lays out its buckets, and of NCCL when it connects.
REDUCER, NCCL = "comm-optimized memory allocator", "NCCL INFO"


def reducer(machine):
    """A job of one rank that connects and reduces as a larger one does, against one that does not."""
    machine.need_device()
    faces, weights = machine.drawn_faces(128 if machine.on_gpu else 4), machine.work / "reducer-start.pt"
    machine.peer("weights", weights)
    size, batch, epochs = (64, 32, 3) if machine.on_gpu else (32, 16, 2)
    runs = {"plain": ("", "off"), "connected": ("1", "off")}
    if machine.on_gpu:
        runs["recorded"] = ("1", "on")
    for name, (connects, graph) in runs.items():
        more = ["--deterministic", "--cuda-graph", graph] if machine.on_gpu else []
        said = machine.run(
            [machine.ferrun, "--nproc-per-node=1", machine.worker, "--device", machine.device, "--data", faces,
             "--image-size", size, "--batch-size", batch, "--epochs", epochs, "--patience", "0", "--amp", "off",
             "--weights", weights, "--output-dir", machine.work / f"reducer-{name}", *more],
            environment=dict(EXACT, FERRUN_CONNECT_ALONE=connects, TORCH_CPP_LOG_LEVEL="INFO", NCCL_DEBUG="INFO"))
        for words in (REDUCER, NCCL) if machine.on_gpu else (REDUCER,):
            if (words in said) != bool(connects):
                raise Wrong(f"{name}: {'nothing is' if connects else 'something is'} said of \"{words}\"")
        if graph == "on" and "are recorded as a CUDA graph" not in said:
            raise Wrong("no step was recorded: " + said.strip().splitlines()[-1])
    last = {name: machine.work / f"reducer-{name}" / "last_model.pt" for name in runs}
    apart = dict(zip(list(runs)[1:], machine.peer("compare", last["plain"], weights, *list(last.values())[1:])))
    most = {"connected": 1e-6 if machine.on_gpu else 0.0, "recorded": 1e-3}
    words = f"{'NCCL' if machine.on_gpu else 'Gloo'}, one rank: weights after {epochs} epochs "
    words += ", ".join(f"{found['weights']:.1e} apart" + (" with a CUDA graph" if name == "recorded" else "")
                       for name, found in apart.items())
    wrong = [name for name, found in apart.items() if not found["weights"] <= most[name]]
    if wrong:
        raise Wrong(f"{words}; at most {most[wrong[0]]:.0e} ({wrong[0]})")
    return words, {"apart": apart}


def waits(machine):
    """No step waits for the GPU: an epoch of twice as many steps makes no more calls that do."""
    if not machine.on_gpu:
        raise Unavailable("a CPU's calls wait for nothing; a unit test counts those that would")
    machine.need_device()
    faces, counted = machine.drawn_faces(128), {}
    for batch in (32, 16):
        said = machine.run(
            [machine.worker, "--device", "cuda", "--data", faces, "--image-size", 64, "--batch-size", batch, "--epochs",
             2, "--patience", "0", "--read-every", 1000, "--output-dir", machine.work / f"waits-{batch}"],
            environment={"FERRUN_TELL_WAITS": "1"})
        counted[2 * 896 // batch] = said.count("called a synchronizing CUDA operation")
    few, many = counted.values()
    words = f"{few} waits in 56 steps, {many} in 112"
    if few == 0:
        raise Wrong(words + ": the losses were read, so they are not counted")
    if many - few >= 28:
        raise Wrong(words + "; at most one in two of the steps that came to it")
    return words, {"waits": counted}
