"""The training loop, and only the loop: it receives every part and builds none."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from finegrain.config import Count, Positive, Probability
from finegrain.data.feed import Feed, Inputs
from finegrain.engine.ema import WeightEMA
from finegrain.engine.evaluate import predict
from finegrain.engine.stopping import Best
from finegrain.errors import NumericsError, fault
from finegrain.metrics.classification import ClassificationMetrics, evaluate_predictions
from finegrain.optim.layout import restore_layout
from finegrain.optim.schedule import Schedule
from finegrain.runtime import Runtime, seed_of

logger = logging.getLogger(__name__)

MAX_SKIPPED_STEPS = 20
"""fp16 steps in a row whose gradients may overflow before training is given up."""


@dataclass(kw_only=True, slots=True)
class TrainConfig:
    """The numbers of the training loop."""

    epochs: Count = 20
    """Passes over the train split."""
    batch_size: Count = 32
    """Images of one forward pass; the step sees batch_size × accumulate_steps."""
    accumulate_steps: Count = 1
    """Forward passes whose gradients make one step."""
    grad_clip_norm: Positive | None = 1.0
    """Largest L2 norm of the whole gradient; none: not clipped."""
    ema_decay: Probability | None = None
    """Decay of the exponential average of the weights, which is then what is evaluated and kept."""
    monitor: Literal["top1", "loss", "macro_f1", "last"] = "top1"
    """Validation metric that chooses the epoch whose model is kept; last: none, the last one is. A small val split
    chooses among good epochs by chance; the last suits averaged weights, and a rate that falls to the end."""
    patience: Count | None = None
    """Epochs without a better `monitor` before stopping; none: run all epochs."""
    max_steps: Count | None = None
    """Stop after this many optimiser steps, whatever the epochs; a cosine ends there as well. None: all."""
    save_steps: Count | None = None
    """Also save a checkpoint every so many optimiser steps; none: at each epoch's end and on a signal."""

    def faults(self) -> list[str]:
        """Training that ends where it no longer improves would keep the worst of the epochs it waited for."""
        if self.patience is None or self.monitor != "last":
            return []
        expected, remedy = "none, as train.monitor is last", "leave it out, or set train.monitor=top1"
        return [fault("train.patience", got=self.patience, expected=expected, remedy=remedy)]

    @property
    def metric(self) -> Literal["top1", "loss", "macro_f1"]:
        """What tells a better epoch: `monitor`, or top1 where it keeps the last."""
        return "top1" if self.monitor == "last" else self.monitor


@dataclass(slots=True)
class Progress:
    """Where training stands: plain numbers, saved with every checkpoint."""

    epoch: int = 0
    """Finished epochs."""
    batch: int = 0
    """Batches of the unfinished epoch that are done."""
    step: int = 0
    """Optimiser steps taken."""
    skipped: int = 0
    """Optimiser steps skipped in all because fp16 gradients overflowed."""
    skipped_in_a_row: int = 0
    loss_sum: float = 0.0
    """Sum of the losses of the unfinished epoch's batches, each weighted by its images."""
    images: int = 0
    """Images seen in the unfinished epoch."""
    right: int | None = None
    """Those of them whose class the model named; none: not counted, as they are mixed or the epoch's first images were
    seen by a version that did not count."""
    epoch_seconds: float = 0.0
    """Time spent on the unfinished epoch, over all resumptions."""
    seconds: float = 0.0
    """Time spent on the finished epochs, over all resumptions."""
    kept: int | None = None
    """The epoch whose model is kept, from 0; none before the first whose metric is finite."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One row an epoch, with timm's column names."""


class Keeper(Protocol):
    """Keeps what a later process needs; called where training can go on from bit-identically."""

    def save(self, trainer: "Trainer", *, kept: bool) -> None:
        """Save the trainer's state, and its model as the one to judge when it is `kept`."""
        ...

    def stop_if_asked(self, trainer: "Trainer", *, saved: bool = False) -> None:
        """Save, unless it was `saved` just now, and raise when a signal asked for a stop."""
        ...


Mix = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""Mixes images [B, 3, H, W] and labels [B] into images and soft labels [B, K], a function of the seed."""


@dataclass(kw_only=True)
class Trainer:
    """Fits a model; every argument is a finished part.

    Randomness of a step is a function of (seed, epoch, batch): a resumed run repeats an uninterrupted one bit by bit.
    """

    config: TrainConfig
    model: nn.Module
    loss: nn.Module
    """Maps logits [B, K] and targets [B] or [B, K] to a scalar."""
    penalty: Callable[[], Tensor | None]
    watch: Callable[[Tensor], AbstractContextManager[None]]
    """Entered around each forward pass, with what the model reads, for a penalty that must know."""
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    runtime: Runtime
    mix: Mix | None
    ema: WeightEMA | None
    seed: int
    keeper: Keeper
    begin_epoch: Callable[[int], None]
    """Receives the epoch, from 0, that steps are about to be taken in; may freeze parts of the model for its time."""

    def __post_init__(self) -> None:
        """Prepare what is neither an argument nor learned."""
        self.scaler = torch.amp.GradScaler(self.runtime.device.type, enabled=self.runtime.precision == "fp16")
        self.progress = Progress()
        self.best = Best(mode="min" if self.config.metric == "loss" else "max", patience=self.config.patience)
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self._unread: list[tuple[Tensor, Tensor, list[str]]] = []
        self._resumed = time.monotonic()

    @property
    def evaluated_model(self) -> nn.Module:
        """The model that validation judges and that is kept: the weights' average where there is one."""
        return self.ema.module if self.ema is not None else self.model

    @property
    def place(self) -> str:
        """Where training stands, in words."""
        return f"epoch {self.progress.epoch + 1}, step {self.progress.step}"

    def fit(
        self,
        train: Feed,
        val: Feed,
        test: Feed | None = None,
        *,
        on_epoch: Callable[[Mapping[str, float]], None] = lambda row: None,
    ) -> list[dict[str, float]]:
        """Train until the epochs, the steps or the patience are used up.

        Args:
            train: What to learn from.
            val: What chooses the best epoch.
            test: Judged after every epoch as well, for the curves alone.
            on_epoch: Receives each epoch's row of the history.

        Returns:
            The history, one row an epoch, with timm's column names.

        Raises:
            NumericsError: A loss or gradient is not finite.
        """
        self._resumed = time.monotonic()
        while not self.finished:
            if not self._steps_used_up:
                self.train_epoch(train)
            row = self._validate(val)
            if test is not None:
                row |= self._look_at(test)
            self._finish_epoch(row, on_epoch)
        return self.progress.history

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do; after the last step, stopped before the validation, that is."""
        steps_validated = self._steps_used_up and self.progress.batch == 0
        return self.progress.epoch >= self.config.epochs or steps_validated or self.best.exhausted

    @property
    def _steps_used_up(self) -> bool:
        return self.config.max_steps is not None and self.progress.step >= self.config.max_steps

    def train_epoch(self, feed: Feed) -> None:
        """Take the steps that are left of the current epoch, and leave `progress` at its end; `fit` does the rest."""
        progress = self.progress
        self.begin_epoch(progress.epoch)
        self.model.train()
        steps = feed.epoch(progress.epoch, start_step=progress.batch)
        title = f"epoch {progress.epoch + 1}/{self.config.epochs}"
        for inputs in tqdm(
            steps, total=len(feed), initial=progress.batch, desc=title, leave=False, disable=None, unit="batch"
        ):
            paths = [feed.samples[int(i)].path for i in inputs.indices]
            self._accumulate(inputs, paths, share=len(paths) / self._group_images(feed))
            progress.batch += 1
            if progress.batch % self.config.accumulate_steps and progress.batch < len(feed):
                continue
            self._step()
            if self.config.save_steps and progress.step % self.config.save_steps == 0 and progress.batch < len(feed):
                self._note_time()
                self.keeper.save(self, kept=False)
            self._stop_if_asked()
            if self._steps_used_up:
                break

    def _note_time(self) -> None:
        """Add the time since the last call to the epoch's."""
        now = time.monotonic()
        self.progress.epoch_seconds += now - self._resumed
        self._resumed = now

    def _stop_if_asked(self) -> None:
        self._note_time()
        self.keeper.stop_if_asked(self)

    def _group_images(self, feed: Feed) -> int:
        """Images of the current accumulation group: the epoch's last group, and its last batch, may be short."""
        whole = self.config.accumulate_steps * feed.batch_size
        start = self.progress.batch // self.config.accumulate_steps * whole
        return min(whole, len(feed) * feed.batch_size - start, len(feed.samples) - start)

    def _accumulate(self, inputs: Inputs, paths: list[str], share: float) -> None:
        """Add one batch's gradient, weighted by its `share` of the group's images."""
        seed = seed_of(self.seed, "batch", self.progress.epoch, self.progress.batch)
        self.runtime.seed(seed)
        view, labels = inputs.views[0], inputs.labels.to(self.runtime.device)
        if self.mix is not None:
            view, labels = self.mix(view, labels, seed)
        with self.runtime.training_forward(), self.watch(view):
            logits = self.model(view)
        loss = self.loss(logits.float(), labels)
        penalty = self.penalty()
        self.scaler.scale((loss if penalty is None else loss + penalty) * share).backward()
        self._unread.append((loss.detach(), self._count_right(logits.detach(), labels), paths))

    def _step(self) -> None:
        """Unscale, check, clip, step: in this order, and never with a loss or gradient that is not finite."""
        self.scaler.unscale_(self.optimizer)
        total = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        norm = self._read_figures(total)
        if math.isfinite(norm):
            if self.config.grad_clip_norm is not None:
                torch.nn.utils.clip_grads_with_norm_(self.parameters, self.config.grad_clip_norm, total)
            self.scaler.step(self.optimizer)
            self.schedule.step()
            if self.ema is not None:
                self.ema.update(self.model)
            self.progress.skipped_in_a_row = 0
            self.progress.step += 1
        else:
            self._skip()
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def _count_right(self, logits: Tensor, labels: Tensor) -> Tensor:
        """How many images the model names rightly, to be read later; 0 where they are mixed, and of no one class."""
        return (logits.argmax(dim=1) == labels).sum() if self.mix is None else torch.zeros((), device=logits.device)

    def _read_figures(self, total_norm: Tensor) -> float:
        """Count what the step's batches gave, and give its gradient's norm: the one time it waits for the device."""
        batches = [figure.double() for loss, right, _ in self._unread for figure in (loss, right)]
        norm, *figures = torch.stack([total_norm.double(), *batches]).tolist()
        progress = self.progress
        if progress.images == 0 and self.mix is None:
            progress.right = 0
        for value, right, (_, _, paths) in zip(figures[::2], figures[1::2], self._unread, strict=True):
            if not math.isfinite(value):
                raise self._diverged("loss", value, paths)
            progress.loss_sum += value * len(paths)
            progress.images += len(paths)
            if progress.right is not None:
                progress.right += int(right)
        if not math.isfinite(norm) and not self.scaler.is_enabled():
            raise self._diverged("gradient norm", norm, [path for _, _, paths in self._unread for path in paths])
        self._unread.clear()
        return float(norm)

    def _skip(self) -> None:
        """Leave out a step whose fp16 gradients overflowed; the scaler then lowers its scale."""
        self.progress.skipped += 1
        self.progress.skipped_in_a_row += 1
        if self.progress.skipped_in_a_row >= MAX_SKIPPED_STEPS or self.scaler.get_scale() < 1:
            raise NumericsError(
                fault(
                    f"fp16 gradients overflow at step {self.progress.step}",
                    got=f"{self.progress.skipped_in_a_row} skipped steps in a row, scale {self.scaler.get_scale():g}",
                    expected=f"fewer than {MAX_SKIPPED_STEPS}, scale ≥ 1",
                    remedy="set runtime.precision=bf16 or lower optim.lr",
                )
            )

    def _diverged(self, what: str, value: float, paths: list[str]) -> NumericsError:
        rates = ", ".join(f"{group['lr']:g}" for group in self.optimizer.param_groups[:4])
        files = ", ".join(paths[:8]) + (f" and {len(paths) - 8} more" if len(paths) > 8 else "")
        return NumericsError(
            fault(
                f"the {what} is not finite at step {self.progress.step} of epoch {self.progress.epoch + 1}",
                got=f"{value} with learning rate {rates} on {files}",
                expected="a finite number",
                remedy="lower optim.lr, set train.grad_clip_norm, or look at these files; "
                "the weights were not updated and the last checkpoint is good",
            )
        )

    def _validate(self, feed: Feed) -> dict[str, float]:
        progress = self.progress
        row = {"epoch": float(progress.epoch), "train_loss": progress.loss_sum / max(progress.images, 1)}
        if progress.right is not None:
            row |= {"train_top1": progress.right / progress.images}
        metrics = self._judge(feed, title="validation")
        row |= {"eval_loss": metrics.loss, "eval_top1": metrics.top1, "eval_top5": metrics.top5}
        rate = max(group["lr"] for group in self.optimizer.param_groups)
        return row | {"eval_macro_f1": metrics.macro_f1, "lr": rate}

    def _look_at(self, test: Feed) -> dict[str, float]:
        """The columns of test, by which nothing is chosen."""
        metrics = self._judge(test, title="test, for the curves")
        return {"test_loss": metrics.loss, "test_top1": metrics.top1}

    def _judge(self, feed: Feed, *, title: str) -> ClassificationMetrics:
        predictions = predict(
            self.evaluated_model, feed, runtime=self.runtime, title=title, each_batch=self._stop_if_asked
        )
        return evaluate_predictions(predictions.labels, predictions.probabilities)

    def _finish_epoch(self, row: dict[str, float], on_epoch: Callable[[Mapping[str, float]], None]) -> None:
        """Record the epoch, then save: a checkpoint at an epoch's end starts the next one."""
        progress = self.progress
        self._note_time()
        row |= {"seconds": progress.epoch_seconds}
        progress.history.append(row)
        progress.seconds, progress.epoch_seconds = progress.seconds + progress.epoch_seconds, 0.0
        monitored = row[f"eval_{self.config.metric}"]
        improved = self.best.update(monitored, progress.epoch)
        kept = math.isfinite(monitored) if self.config.monitor == "last" else improved
        progress.kept = progress.epoch if kept else progress.kept
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.loss_sum, progress.images, progress.right = 0.0, 0, None
        self.schedule.epoch_end(improved=improved)
        self._log(row, best=improved)
        self.keeper.save(self, kept=kept)
        on_epoch(row)
        self.keeper.stop_if_asked(self, saved=True)

    def _log(self, row: dict[str, float], *, best: bool) -> None:
        numbers = {key: value for key, value in row.items() if key not in ("epoch", "seconds")}
        shown = "  ".join(f"{key} {value:.4g}" for key, value in numbers.items())
        mark = "  best" if best else ""
        logger.info("epoch %d/%d  %s  %.0f s%s", row["epoch"] + 1, self.config.epochs, shown, row["seconds"], mark)

    def state(self) -> dict[str, Any]:
        """Everything that continues this training, by part; tensors and plain values only."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else {},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best": self.best.state_dict(),
            "finished": self.finished,
            "progress": {name: getattr(self.progress, name) for name in Progress.__slots__},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up training where `state` was saved."""
        self.model.load_state_dict(state["model"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        restore_layout(self.optimizer)
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.best.load_state_dict(state["best"])
        self.progress = Progress(**state["progress"])
