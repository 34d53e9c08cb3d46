"""Hugging Face's Trainer, with a checkpoint after every step."""
import os
import sys

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

import killed


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(8, 4)

    def forward(self, values):
        out = self.layer(values)
        return {"loss": out.square().mean(), "logits": out}


class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 4 * killed.STEPS

    def __getitem__(self, index):
        return {"values": torch.full((8,), float(index))}


class Watch(TrainerCallback):
    first = None

    def on_step_begin(self, args, state, control, **_):
        if Watch.first is None:
            Watch.first = state.global_step
        killed.step_begins(state.global_step)


torch.manual_seed(7)
model = Model()
arguments = TrainingArguments(output_dir=sys.argv[1], use_cpu=True, per_device_train_batch_size=2, num_train_epochs=1,
                              save_steps=1, logging_strategy="no", report_to=[], disable_tqdm=True, learning_rate=0.01)
trainer = Trainer(model=model, args=arguments, train_dataset=Data(), callbacks=[Watch()])
trainer.train(resume_from_checkpoint=get_last_checkpoint(sys.argv[1]) if os.listdir(sys.argv[1]) else None)
killed.job_is_done(Watch.first, sum(weights.double().sum().item() for weights in model.parameters()))
