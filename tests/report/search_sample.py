"""A search's report with every kind of trial."""

from typing import Any

from finegrain.report.search import SearchReport
from finegrain.report.search_record import FinalResult, Trial, Varied

VARIED = (
    Varied(key="augment.preset", words="weak, strong", choices=("weak", "strong")),
    Varied(key="optim.lr", words="1e-05 to 0.1, log-uniform", low=1e-5, high=0.1, log=True),
    Varied(key="train.epochs", words="2 to 9, uniform", low=2, high=9),
)


def trial(number: int, figure: float | None, *, preset: str = "weak", lr: float = 1e-3, stopped: str = "") -> Trial:
    return Trial(
        number=number,
        values={"augment.preset": preset, "optim.lr": lr, "train.epochs": 2 + number},
        figure=figure,
        loss=None if figure is None else 1 - figure,
        kept_epoch=None if figure is None else 1,
        epochs=0 if figure is None else 2,
        seconds=1.25,
        stopped=stopped,
    )


TRIALS = (
    trial(0, 0.8),
    trial(1, 0.9, preset="strong", lr=0.0123456789),
    trial(2, 0.01, lr=1e-5, stopped="below the median"),
    trial(3, None, lr=0.1, stopped="the loss is not finite <b>"),
    trial(4, 0.85, preset="strong", lr=0.03),
)


def final(**changes: Any) -> FinalResult:
    content: dict[str, Any] = {
        "top1": 0.853,
        "interval": (0.84, 0.865),
        "loss": 0.4567,
        "n": 2903,
        "page": "best-1/report.html",
        "looks": 1,
        "train_images": 2699,
        "parameters": 11_689_512,
        "trained": 51_300,
        "seconds": 192.0,
        "device": "cpu <b>",
    }
    return FinalResult(**content | changes)


def make_search(**changes: Any) -> SearchReport:
    content: dict[str, Any] = {
        "name": "birds <script>",
        "monitor": "top1",
        "varied": VARIED,
        "trials": TRIALS,
        "best": TRIALS[1],
        "setting": ("augment.preset=strong", "optim.lr=0.0123456789", "train.epochs=3"),
        "protocol": ("The trials were trained on 12 images.",),
        "importances": {"optim.lr": 0.75, "augment.preset": 0.25},
        "test": final(),
        "recipe_source": "return Recipe(a < b)",
        "environment": {"torch": "2.15.0"},
    }
    return SearchReport(**content | changes)
