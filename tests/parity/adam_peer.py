"""Records Adam and AdamW on given gradients, and the default implementation beside the fused one."""

import torch

from peer_values import finish, save

STEPS = 6
CASES = {
    "adam": (torch.optim.Adam, {}),
    "adam_decay": (torch.optim.Adam, {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.99), "eps": 1e-6}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.01}),
}
SHAPES = [(5,), (3, 4), (8, 6, 3, 3), (16, 8, 1, 1), (1,)]


def make_parameters():
    torch.manual_seed(3)
    values = [torch.randn(shape) for shape in SHAPES]
    return [torch.nn.Parameter(v.contiguous(memory_format=torch.channels_last) if v.dim() == 4 else v) for v in values]


record = {"initial": [p.detach().clone() for p in make_parameters()]}
torch.manual_seed(4)
# The last parameter has no gradient in the first two steps: its state begins later.
record["gradients"] = [[torch.randn(s) * 10 ** float(torch.randn(())) for s in SHAPES] for _ in range(STEPS)]
for case, (optimizer_class, options) in CASES.items():
    for flavour, extra in (("fused", {"fused": True}), ("default", {})):
        parameters = make_parameters()
        optimizer = optimizer_class(parameters, **options, **extra)
        trace = []
        for step, gradients in enumerate(record["gradients"]):
            for index, (parameter, gradient) in enumerate(zip(parameters, gradients)):
                absent = index == len(SHAPES) - 1 and step < 2
                parameter.grad = None if absent else gradient.clone().contiguous(
                    memory_format=torch.channels_last if gradient.dim() == 4 else torch.contiguous_format)
            optimizer.step()
            trace.append([p.detach().clone() for p in parameters])
            if step == 2:
                half_way = {"weights": trace[-1], "optimizer": optimizer.state_dict()}
                save(f"{case}_{flavour}_half_way.pt", half_way)
        record[f"{case}_{flavour}"] = trace
save("record.pt", record)
finish()
