"""timm's side: its dataset, loader and optimiser factories, and the step of its train.py, with that script's defaults.

timm's train.py cannot freeze layers. As its users do, this sets `requires_grad=False` on what is not trained: no
gradient and no update there, but batch normalisation stays in training mode, as `model.train()` leaves it.
"""

import timm
import torch
from side import Cost, Job, Meter
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2

WORKERS = 4
"""train.py's default."""


class TimmSide:
    """Trains with train.py's defaults: fp32, contiguous tensors, 4 workers, the prefetching loader, SGD.

    Args:
        job: What to train; its batch size replaces train.py's 128.
        tuned: As with `--channels-last --amp --amp-dtype bfloat16`.
    """

    def __init__(self, job: Job, *, tuned: bool = False) -> None:
        self._layout = torch.channels_last if tuned else torch.contiguous_format
        self._tuned = tuned
        self.model = timm.create_model(job.model, num_classes=job.num_classes).to(memory_format=self._layout)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad = name.startswith(job.trained)
        expected = resolve_data_config({"input_size": (3, 224, 224)}, model=self.model)
        self._loader = create_loader(
            create_dataset("", root=str(job.root), split="train", is_training=True, batch_size=job.batch_size),
            input_size=expected["input_size"],
            batch_size=job.batch_size,
            is_training=True,
            interpolation="random",
            mean=expected["mean"],
            std=expected["std"],
            num_workers=WORKERS,
            device=torch.device("cpu"),
        )
        self._loss = LabelSmoothingCrossEntropy(smoothing=0.1)
        self._optimizer = create_optimizer_v2(self.model, opt="sgd", lr=1e-3, weight_decay=2e-5, momentum=0.9)

    def epoch(self) -> Cost:
        """Train one epoch."""
        meter, images, total = Meter(), 0, 0.0
        self.model.train()
        for inputs, labels in self._loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=self._tuned):
                loss = self._loss(self.model(inputs.contiguous(memory_format=self._layout)), labels)
            loss.backward()
            self._optimizer.step()
            self._optimizer.zero_grad()
            total += loss.item() * len(labels)
            images += len(labels)
        return meter.read(images)


def tuned(job: Job) -> TimmSide:
    """timm with the flags that a careful user of a CPU with bf16 sets."""
    return TimmSide(job, tuned=True)
