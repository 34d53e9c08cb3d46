"""Weights as PyTorch's users save them, and what PyTorch computes with them; `check`: our exports in PyTorch."""

import collections
import json
import pathlib
import sys

import torch
from PIL import Image, ImageOps
from torchvision import transforms

from emotion_net import EmotionNet
from peer_values import FOLDER, finish, require, save

SIZE = 64


def trained_model(passes=6):
    torch.manual_seed(5)
    model = EmotionNet(7)
    with torch.no_grad():
        for _ in range(passes):
            model(torch.randn(8, 3, SIZE, SIZE))
        model.classify.linear.weight.mul_(20)
    return model.eval()


class Lightning(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = torch.nn.parallel.DataParallel(model)


def composed(steps):
    """torchvision's transforms from their names and arguments."""
    return transforms.Compose(
        [getattr(transforms, step["name"])(**{key: value for key, value in step.items() if key != "name"}) for step in steps])


def write(picture):
    model = trained_model()
    state = model.state_dict()
    files = {
        "plain": state,
        "legacy": state,
        "lightning": {"epoch": 3, "state_dict": Lightning(model).state_dict()},
        "compiled": {"network": torch.compile(model).state_dict()},
        "double": {key: value.double() if value.is_floating_point() else value for key, value in state.items()},
        "no_counter": collections.OrderedDict((k, v) for k, v in state.items() if not k.endswith("num_batches_tracked")),
    }
    # As a machine with two GPUs saves it: the tensors say where they were.
    torch.serialization.register_package(0, lambda storage: "cuda:1", lambda storage, location: None)
    torch.save({"model_state_dict": state}, FOLDER / "gpu.pt")
    torch.serialization._package_registry.pop(0)
    require(torch.equal(torch.load(FOLDER / "gpu.pt", map_location="cpu")["model_state_dict"]["classify.linear.bias"],
                        state["classify.linear.bias"]), "map_location")
    partial = collections.OrderedDict((key, value) for key, value in state.items() if not key.startswith("classify.linear."))
    partial["head.weight"] = torch.zeros(3)
    torch.save(partial, FOLDER / "partial.pt")
    difference = EmotionNet(7).load_state_dict(partial, strict=False)
    for name, content in files.items():
        torch.save(content, FOLDER / f"{name}.pt", _use_new_zipfile_serialization=name != "legacy")
    torch.save(torch.rand(4, 4)[1:, 2:], FOLDER / "legacy_view.pt", _use_new_zipfile_serialization=False)
    torch.save(model, FOLDER / "whole.pt")
    torch.save({"model": model}, FOLDER / "whole_legacy.pt", _use_new_zipfile_serialization=False)
    torch.jit.script(torch.nn.Linear(2, 2)).save(FOLDER / "script.pt")
    torch.save({key: torch.full_like(value, float("nan")) if value.is_floating_point() else value for key, value in state.items()},
               FOLDER / "nan.pt")
    prepare = transforms.Compose([
        transforms.Resize((SIZE, SIZE)),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])
    # A camera that was held upright: the picture lies on its side, and EXIF says so.
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(picture).transpose(Image.Transpose.ROTATE_90).save(FOLDER / "turned.jpg", quality=95, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(FOLDER / "turned.jpg"))
    # Statistics that have settled: this model's answer depends on the picture.
    observant = trained_model(passes=40)
    torch.save(observant.state_dict(), FOLDER / "observant.pt")
    torch.save({"model_state_dict": observant.state_dict(), "options": {"exif_orientation": True}}, FOLDER / "upright.pt")
    # A run with transforms of its own, as the worker's checkpoints tell of them.
    steps = [{"name": "Resize", "size": 80}, {"name": "CenterCrop", "size": SIZE}, {"name": "ToTensor"},
             {"name": "Normalize", "mean": [0.5] * 3, "std": [0.25] * 3}]
    torch.save({"model_state_dict": observant.state_dict(),
                "options": {"image_size": SIZE, "exif_orientation": True,
                            "transforms": json.dumps({"train": steps, "validation": steps})}}, FOLDER / "prepared.pt")
    with torch.no_grad():
        logits = model(prepare(Image.open(picture).convert("RGB"))[None])
        upright_logits = observant(prepare(upright.convert("RGB"))[None])
        prepared_logits = observant(composed(steps)(upright.convert("RGB"))[None])
    save("answer.pt", torch.softmax(logits, 1))
    finish(missing=difference.missing_keys, unexpected=difference.unexpected_keys,
           prepared=torch.softmax(prepared_logits.double(), 1)[0].tolist(),
           upright=torch.softmax(upright_logits.double(), 1)[0].tolist(),
           probabilities=torch.softmax(logits.double(), 1)[0].tolist())


def read_safetensors(path):
    """The format by its description; the library is no part of the peer."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__")
    kinds = {"F32": torch.float32, "I64": torch.int64}
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(bytearray(data[8 + length + begin:8 + length + end]), dtype=kinds[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors, metadata


def check():
    model = trained_model()
    state = model.state_dict()

    def require_same(given):
        require(set(given) == set(state), "the names differ")
        require(all(torch.equal(given[key], state[key]) for key in state), "a tensor differs")

    require_same(torch.load(FOLDER / "state-dict", weights_only=True))
    tensors, metadata = read_safetensors(FOLDER / "safetensors")
    require_same(tensors)
    require(metadata["format"] == "pt", "metadata")
    script = torch.jit.load(FOLDER / "torchscript")
    require_same(script.state_dict())
    difference = 0.0
    with torch.no_grad():
        for batch, size in ((1, SIZE), (5, SIZE), (2, 224)):
            pictures = torch.randn(batch, 3, size, size)
            difference = max(difference, (script(pictures) - model(pictures)).abs().max().item())
    finish(difference=difference)


def check_prepared():
    """A TorchScript export has all that prediction needs: the picture as it says, without our checkpoint."""
    facts = {"transforms": "", "exif_orientation": ""}
    script = torch.jit.load(FOLDER / "prepared.torchscript", _extra_files=facts)
    picture = Image.open(FOLDER / "turned.jpg")
    if json.loads(facts["exif_orientation"]):
        picture = ImageOps.exif_transpose(picture)
    with torch.no_grad():
        logits = script(composed(json.loads(facts["transforms"]))(picture.convert("RGB"))[None])
    wanted = json.loads((FOLDER / "manifest.json").read_text())["prepared"]
    difference = (torch.softmax(logits.double(), 1)[0] - torch.tensor(wanted)).abs().max().item()
    finish(difference=difference)


if __name__ == "__main__":
    if sys.argv[2] == "check":
        check()
    elif sys.argv[2] == "prepared":
        check_prepared()
    else:
        write(pathlib.Path(sys.argv[2]))
