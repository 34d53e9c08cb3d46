"""PyTorch Ignite: idist.Parallel within torchrun's environment, an Engine, and its Checkpoint handler."""
import os
import sys

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver

import killed


def training(_):
    torch.manual_seed(7)
    model = idist.auto_model(torch.nn.Linear(8, 4))
    optimizer = idist.auto_optim(torch.optim.SGD(model.parameters(), lr=0.1))

    def update(engine, batch):
        step = engine.state.iteration - 1
        if engine.first is None:
            engine.first = step
        killed.step_begins(step)
        optimizer.zero_grad()
        loss = model(batch + idist.get_rank()).square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    trainer = Engine(update)
    trainer.first = None
    kept = {"trainer": trainer, "model": model, "optimizer": optimizer}
    keeper = Checkpoint(kept, DiskSaver(sys.argv[1], create_dir=False, require_empty=False), n_saved=None)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, keeper)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, idist.barrier)
    saved = sorted((name for name in os.listdir(sys.argv[1]) if name.endswith(".pt")), key=lambda name: int(name.split("_")[-1][:-3]))
    if saved:
        Checkpoint.load_objects(to_load=kept, checkpoint=torch.load(os.path.join(sys.argv[1], saved[-1])))
    trainer.run([torch.ones(2, 8)], max_epochs=killed.STEPS)
    killed.job_is_done(trainer.first, sum(weights.double().sum().item() for weights in model.parameters()))


with idist.Parallel(backend="gloo") as parallel:
    parallel.run(training)
