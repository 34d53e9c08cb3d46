"""Python's side of finetune_from_python.cc: `make FILE` writes a network's weights, `check FILE` reads the tuned ones."""

import sys

import torch


class Network(torch.nn.Module):
    def __init__(self, head):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU())
        self.add_module(head, torch.nn.Linear(32, 10 if head == "classes" else 1))
        self.head = head

    def forward(self, x):
        return getattr(self, self.head)(self.body(x))


def main(action, file):
    torch.manual_seed(7)
    original = Network("classes")
    if action == "make":
        torch.save(original.state_dict(), file)
        return
    saved = torch.load(file, weights_only=True)
    tuned = Network("regression")
    tuned.load_state_dict(saved["model_state_dict"])
    optimizer = torch.optim.Adam(tuned.regression.parameters())
    optimizer.load_state_dict(saved["optimizer_state_dict"])
    kept = all(torch.equal(a, b) for a, b in zip(tuned.body.parameters(), original.body.parameters()))
    x = torch.randn(1000, 8)
    loss = (tuned(x) - x.sum(1, keepdim=True)).square().mean().item()
    fits = "fits" if loss < 2 else "does not fit"  # of sums with a variance of 8
    sys.stdout.write(f"Python: the body is {'as it was' if kept else 'another one'}, the head {fits}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
