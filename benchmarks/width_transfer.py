"""Can a narrow network's learning rate be carried to a wide one, or to another network? See docs/width_transfer.md.

    python benchmarks/width_transfer.py --out DIR                  # about 6 CPU minutes
    python benchmarks/width_transfer.py --out DIR --mnist ROOT     # MNIST too; ROOT holds its IDX files
    python benchmarks/width_transfer.py --out DIR --quick          # whether it runs; its figures say nothing

Networks of the zoo learn scikit-learn's digits (1,437 images, another 360 for val) by Adam at constant rates, a grid of
powers of 2, 8 epochs of batches of 64, without augmentation or decay; of MNIST as many steps, every image once. What
counts is the training loss, the mean over the last quarter of the steps; means over seeds are of logarithms.

DIR/runs.csv takes every training as it ends: begun again, the script goes on. DIR/width_transfer.png draws the curves.
"""

import argparse
import csv
import io
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from mup import coordinate_changes, mup_groups
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional
from transfer_tables import Curve, Family, Result, best_rates, carried_rates, draw, markdown, other_networks

from finegrain.data.idx import read_idx
from finegrain.models.scratch.cnn import cnn
from finegrain.models.scratch.lenet import lenet
from finegrain.models.scratch.mlp import mlp
from finegrain.models.scratch.mnist_vit import MnistViT

EXPONENTS = range(-12, -3)
"""Of 2: the rates."""
CHECKED = 2.0**-10
"""The rate of the coordinate check."""
MNIST_IMAGES = 11_264
"""As many steps, in one epoch, as of digits in 8."""
COMMON = {"num_classes": 10, "in_channels": 1}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What is trained, but for its rate and seed."""

    name: str
    build: Callable[[int, int], nn.Module]
    """The network by its width and the side of its images."""
    width: int = 0
    narrow: int | None = None
    """The width whose rate is given (µP); none: PyTorch's weights and one rate for all (SP)."""
    data: str = "digits"
    image_size: int = 8
    images: int | None = None
    """Of train; none: all."""
    batch_size: int = 64
    epochs: int = 8

    @property
    def parametrisation(self) -> str:
        """At the narrow width both are the same."""
        return "SP" if self.narrow in (None, self.width) else "µP"

    def optimizer(self, lr: float) -> tuple[nn.Module, torch.optim.Optimizer]:
        """A new network with its Adam."""
        network = self.build(self.width, self.image_size)
        if self.narrow is None:
            return network, torch.optim.Adam(network.parameters(), lr=lr, fused=True)
        groups = mup_groups(network, self.build(self.narrow, self.image_size), lr=lr)
        return network, torch.optim.Adam(groups, fused=True)


Split = tuple[Tensor, Tensor]
Data = Mapping[str, tuple[Split, Split]]
"""Train and val by the dataset's name; images [N, 1, S, S] and labels [N]."""


def dense(depth: int = 3) -> Callable[[int, int], nn.Module]:
    """MLPs."""
    return lambda width, size: mlp(image_size=size, hidden=(width,) * depth, **COMMON)


def convolutional(*, batch_norm: bool = True) -> Callable[[int, int], nn.Module]:
    """CNNs of two blocks and a hidden layer."""
    return lambda width, size: cnn(
        image_size=size, channels=(width, 2 * width), hidden=4 * width, dropout=0.0, batch_norm=batch_norm, **COMMON
    )


def transformer(width: int, size: int) -> nn.Module:
    """A ViT of three blocks, with heads of 8 features."""
    return MnistViT(
        image_size=size, patch_size=2, dim=width, mlp_dim=2 * width, depth=3, num_heads=width // 8, **COMMON
    )


MLP = Case(name="MLP", build=dense(), width=64)
CNN = Case(name="CNN", build=convolutional(), width=8)
LENET = Case(name="LeNet with sigmoids", build=lambda _, size: lenet(image_size=size, **COMMON), image_size=16)
MNIST = replace(MLP, name="MLP on MNIST", data="mnist", image_size=28, images=MNIST_IMAGES, epochs=1)
FAMILIES = [(MLP, (64, 128, 256, 512, 1024)), (CNN, (8, 16, 32)), (MNIST, (64, 128, 256))]
OTHERS = [
    replace(MLP, name="1 hidden layer", build=dense(1)),
    replace(MLP, name="6 hidden layers", build=dense(6)),
    replace(MLP, name="batches of 16", batch_size=16),
    replace(MLP, name="batches of 256", batch_size=256),
    replace(MLP, name="a fifth of the images", images=287),
    replace(MLP, name="a fifth of the images, as many steps", images=287, epochs=44),
    replace(MLP, name="four times the epochs", epochs=32),
    MNIST,
    CNN,
    replace(CNN, name="CNN without batch norm", build=convolutional(batch_norm=False)),
    LENET,
    replace(LENET, name="LeNet with ReLUs", build=lambda _, size: lenet(image_size=size, activation="relu", **COMMON)),
    Case(name="ViT", build=transformer, width=32),
]


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is not trained yet, print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="takes runs.csv and width_transfer.png")
    parser.add_argument("--mnist", type=Path, help="a folder with MNIST's IDX files, packed by gzip or not")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="3 rates, 2 seeds, one epoch, two widths")
    options = parser.parse_args(argv)
    if options.seeds < 2:
        parser.error("the scatter over seeds needs at least 2 of them: set --seeds 2")
    torch.set_num_threads(1)
    data = read(options.mnist)
    families = [(case, widths) for case, widths in FAMILIES if case.data in data]
    others, exponents, seeds = [case for case in OTHERS if case.data in data], list(EXPONENTS), options.seeds
    if options.quick:
        families = [(replace(case, epochs=1), widths[:2]) for case, widths in families]
        others, exponents, seeds = [replace(case, epochs=1) for case in others], [-9, -8, -7], 2
    print(coordinate_table(*families[0], data=data), flush=True)
    runs = Runs(options.out / ("quick.csv" if options.quick else "runs.csv"), data, exponents, range(seeds))
    grids = {case.name: runs.family(case, widths) for case, widths in families}
    print(f"{best_rates(grids)}\n{carried_rates(grids)}", flush=True)
    print(other_networks(runs.curve(families[0][0]), {case.name: runs.curve(case) for case in others}))
    picture = io.BytesIO()
    draw(grids).savefig(picture, dpi=80)
    Image.open(picture).convert("L").quantize(16).save(options.out / "width_transfer.png", optimize=True)


def read(mnist: Path | None) -> Data:
    """Digits, and MNIST where its folder is given: val are 2,000 of its train images. Mean 0, deviation 1."""
    pixels, labels = load_digits(return_X_y=True)
    parts = train_test_split(pixels.reshape(-1, 8, 8), labels, test_size=0.2, stratify=labels, random_state=0)
    found = {"digits": (parts[0], parts[2], parts[1], parts[3])}
    if mnist is not None:
        images = read_idx(mnist / "train-images-idx3-ubyte", shape=(28, 28))
        labels = read_idx(mnist / "train-labels-idx1-ubyte", shape=())
        order = np.random.default_rng(0).permutation(len(labels))  # files sorted by label are about
        images, labels = images[order], labels[order]
        found["mnist"] = (images[:-2000], labels[:-2000], images[-2000:], labels[-2000:])
    return {name: _standardised(*arrays) for name, arrays in found.items()}


def _standardised(*arrays: object) -> tuple[Split, Split]:
    train, labels, val, val_labels = (torch.tensor(array) for array in arrays)
    mean, deviation = train.float().mean(), train.float().std()
    images, val_images = (((part.float() - mean) / deviation)[:, None] for part in (train, val))
    return (images, labels.long()), (val_images, val_labels.long())


def train(case: Case, data: Data, *, lr: float, seed: int) -> Result:
    """One training; the order of the images is the seed's, as the first weights are."""
    (images, labels), (val_images, val_labels) = data[case.data]
    images, labels = images[: case.images], labels[: case.images]
    size = (case.image_size, case.image_size)
    if images.shape[-2:] != size:
        images, val_images = (functional.interpolate(part, size, mode="bilinear") for part in (images, val_images))
    torch.manual_seed(seed)
    network, optimizer = case.optimizer(lr)
    order, losses = torch.Generator().manual_seed(seed), []
    for _ in range(case.epochs):
        for rows in torch.randperm(len(images), generator=order).split(case.batch_size):
            if len(rows) < case.batch_size:
                continue
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(images[rows]), labels[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    last = statistics.fmean(losses[-max(len(losses) // 4, 1) :])
    network.eval()
    with torch.no_grad():
        answers = torch.cat([network(part).argmax(1) for part in val_images.split(500)])
    return Result(last if math.isfinite(last) else math.inf, (answers == val_labels).float().mean().item())


class Runs:
    """Trains what runs.csv does not hold yet."""

    def __init__(self, path: Path, data: Data, exponents: Sequence[int], seeds: Iterable[int]) -> None:
        self._data, self._exponents, self._seeds = data, exponents, list(seeds)
        self._columns = ("name", "parametrisation", "width", "exponent", "seed", "loss", "top1", "cpu_seconds")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._known = path, {}
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                for row in list(csv.reader(file))[1:]:
                    self._known[tuple(row[:5])] = Result(float(row[5]), float(row[6]))
        else:
            self._write(self._columns)

    def curve(self, case: Case) -> Curve:
        """Every rate and seed of a case."""
        return {exponent: [self._result(case, exponent, seed) for seed in self._seeds] for exponent in self._exponents}

    def family(self, case: Case, widths: Sequence[int]) -> Family:
        """The curves of all widths, in PyTorch's own parametrisation (SP) and in µP in units of the narrowest."""
        return {
            name: {width: self.curve(replace(case, width=width, narrow=narrow)) for width in widths}
            for name, narrow in (("SP", None), ("µP", widths[0]))
        }

    def _result(self, case: Case, exponent: int, seed: int) -> Result:
        key = tuple(map(str, (case.name, case.parametrisation, case.width, exponent, seed)))
        if key not in self._known:
            begun = time.process_time()
            self._known[key] = result = train(case, self._data, lr=2.0**exponent, seed=seed)
            spent = time.process_time() - begun
            self._write((*key, f"{result.loss:.6g}", f"{result.top1:.4f}", f"{spent:.2f}"))
        return self._known[key]

    def _write(self, row: Sequence[str]) -> None:
        with self._path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(row)


def coordinate_table(case: Case, widths: Sequence[int], *, data: Data, steps: int = 3) -> str:
    """How far a few steps move each layer's outputs, by width, and the power of the width by which that grows."""
    images, labels = data[case.data][0]
    batches = list(zip(images.split(case.batch_size), labels.split(case.batch_size), strict=True))[:steps]
    rows = [["layer", "", *map(str, widths), "power of the width"]]
    for narrow in (None, widths[0]):
        changes = []
        for width in widths:
            torch.manual_seed(0)
            network, optimizer = replace(case, width=width, narrow=narrow).optimizer(CHECKED)
            changes.append(coordinate_changes(network, optimizer, batches))
        for layer in changes[0]:
            found = [change[layer] for change in changes]
            power = statistics.linear_regression(list(map(math.log, widths)), list(map(math.log, found))).slope
            rows.append(
                [layer, "SP" if narrow is None else "µP", *(f"{value:.3f}" for value in found), f"{power:+.2f}"]
            )
    return markdown(rows)


if __name__ == "__main__":
    main()
