"""The study of learning rates over widths: µP is the paper's, best rates are found, finished trainings are kept."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from finegrain.models.scratch.cnn import cnn
from finegrain.models.scratch.mlp import mlp

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def _benchmarks_on_the_path():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield


@pytest.fixture(scope="module")
def mup():
    import mup

    return mup


@pytest.fixture(scope="module")
def tables():
    import transfer_tables

    return transfer_tables


@pytest.fixture(scope="module")
def study():
    import width_transfer

    return width_transfer


def dense(width):
    torch.manual_seed(0)
    return mlp(num_classes=10, image_size=8, in_channels=1, hidden=(width, width))


def batches(count, dtype=torch.float32):
    random = torch.Generator().manual_seed(1)
    images = torch.randn(count, 32, 1, 8, 8, generator=random, dtype=dtype)
    return list(zip(images, torch.randint(0, 10, (count, 32), generator=random), strict=True))


def named_rates(network, groups):
    names = {parameter: name for name, parameter in network.named_parameters()}
    return {names[parameter]: group["lr"] for group in groups for parameter in group["params"]}


def test_rates_and_first_weights_are_those_of_table_3(mup):
    plain, network = dense(16), dense(16)
    rates = named_rates(network, mup.mup_groups(network, dense(4), lr=1.0))
    assert {name for name, rate in rates.items() if rate == 0.25} == {"blocks.2.0.weight", "head.weight"}
    assert {rate for name, rate in rates.items() if name.endswith("bias") or "1.0" in name} == {1.0}
    factors = {name: after / before for (name, before), after in zip(plain.named_parameters(), network.parameters())}  # noqa: B905
    expected = dict.fromkeys(factors, 1.0) | {"head.weight": 0.5, "head.bias": 2.0, "blocks.2.0.bias": 2.0}
    for name, factor in factors.items():
        torch.testing.assert_close(factor, torch.full_like(factor, expected[name]))


def test_channels_count_as_inputs_and_norms_keep_their_rate(mup):
    network, narrow = (
        cnn(num_classes=10, image_size=8, in_channels=1, channels=(width, 2 * width), hidden=width) for width in (6, 2)
    )
    rates = named_rates(network, mup.mup_groups(network, narrow, lr=3.0))
    divided = {name for name, rate in rates.items() if rate == 1.0}
    assert divided == {"blocks.1.0.weight", "blocks.2.1.weight", "head.weight"}
    assert {rates[name] for name in rates.keys() - divided} == {3.0}


def test_at_the_same_width_nothing_changes(mup):
    plain, network = dense(8), dense(8)
    groups = mup.mup_groups(network, dense(8), lr=0.1)
    assert {group["lr"] for group in groups} == {0.1}
    assert all(torch.equal(one, other) for one, other in zip(plain.parameters(), network.parameters(), strict=True))


class Divided(nn.Module):
    """A readout as in the paper's table 8: its inputs are divided by r, its weights and rate are not."""

    def __init__(self, linear, wider):
        super().__init__()
        self.linear, self.wider = linear, wider

    def forward(self, features):
        return functional.linear(features / self.wider, self.linear.weight, self.linear.bias)


def test_table_3_is_table_8_at_every_step(mup):
    network = dense(16).double()
    groups = mup.mup_groups(network, dense(4), lr=0.01)
    other = copy.deepcopy(network)
    rates = named_rates(network, groups)
    with torch.no_grad():
        other.head.weight *= 4
    theirs = [
        {"params": [parameter], "lr": 0.01 if name == "head.weight" else rates[name]}
        for name, parameter in other.named_parameters()
    ]
    other.head = Divided(other.head, 4)
    optimizers = [torch.optim.Adam(found, eps=1e-30) for found in (groups, theirs)]
    for images, labels in batches(5, torch.float64):
        for model, optimizer in zip((network, other), optimizers, strict=True):
            optimizer.zero_grad()
            functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        torch.testing.assert_close(network(images), other(images), rtol=1e-9, atol=1e-12)


def test_a_few_steps_move_logits_by_the_width_in_sp_and_the_same_in_mup(mup):
    widths = (32, 64, 128, 256)
    changes = {"SP": [], "µP": []}
    for width in widths:
        for name, found in changes.items():
            network = dense(width)
            groups = mup.mup_groups(network, dense(32 if name == "µP" else width), lr=1e-3)
            found.append(mup.coordinate_changes(network, torch.optim.Adam(groups), batches(3)))
    for layer, least, most in (("head", 0.7, 1.3), ("blocks.2.0", 0.4, 1.1)):
        powers = {
            name: math.log(found[-1][layer] / found[0][layer]) / math.log(widths[-1] / widths[0])
            for name, found in changes.items()
        }
        assert least < powers["SP"] < most
        assert abs(powers["µP"]) < 0.25


def results(tables, *losses, top1=0.5):
    return [tables.Result(loss, top1) for loss in losses]


def test_the_best_rate_lies_between_those_of_the_grid(tables):
    centers = (-6.3, -7.0, -8.45)
    curve = {
        exponent: results(tables, *(math.exp((exponent - center) ** 2) for center in centers))
        for exponent in range(-10, -3)
    }
    assert tables.optima(curve) == pytest.approx(centers)
    assert tables.best(curve) == -7


def test_at_the_end_of_the_grid_and_beside_a_divergence_it_is_the_grids(tables):
    rising = {exponent: results(tables, 2.0**exponent) for exponent in (-3, -2, -1)}
    assert tables.optima(rising) == [-3.0]
    assert tables.optima({-3: results(tables, 1.2), -2: results(tables, 1.0), -1: results(tables, math.inf)}) == [-2.0]


def test_what_a_carried_rate_costs(tables):
    curve = {-2: results(tables, 1.0, 4.0, top1=0.75), -1: results(tables, 4.0, 2.0, top1=0.5)}
    assert tables.costs(curve, -1) == ["2.8 (2)", "1.41 (0.50–4.00)", "50.0 (75.0)"]
    assert tables.costs(curve, -9) == ["–"] * 3
    narrow = {-2: results(tables, 9.0, 9.0), -1: results(tables, 8.0, 8.0)}
    families = {"MLP": {"SP": {2: narrow, 4: curve}, "µP": {2: narrow, 4: narrow}}}
    assert "| MLP | SP | 2: -1.0 ± 0.0, 4: -1.5 ± 0.7 | -0.5 ± 0.7 |" in tables.best_rates(families)
    shown = tables.carried_rates(families)
    assert "| MLP, 2 → 4 | SP | 2^-1, carried | 2.8 (2) | 1.41 (0.50–4.00) | 50.0 (75.0) |" in shown
    assert "| MLP, 2 → 4 | SP | 2^-2, carried / 2 | 2 (2) | 1.00 (1.00–1.00) | 75.0 (75.0) |" in shown
    assert shown.count("µP") == 1
    assert "| wide | -1.5 ± 0.7 | -0.5 | 2.8 (2) | 1.41 (0.50–4.00) | 50.0 (75.0) |" in tables.other_networks(
        narrow, {"wide": curve}
    )


def test_the_study_trains_what_is_missing_and_nothing_twice(study, tmp_path, monkeypatch, capsys):
    small = replace(study.MLP, width=2, images=128)
    monkeypatch.setattr(study, "FAMILIES", [(small, (2, 4))])
    monkeypatch.setattr(study, "OTHERS", [replace(study.CNN, width=1, images=128)])
    study.main(["--out", str(tmp_path), "--quick"])
    shown = capsys.readouterr().out
    assert "| head | µP |" in shown
    assert "| MLP, 2 → 4 | SP | 2^" in shown
    assert (tmp_path / "width_transfer.png").read_bytes().startswith(b"\x89PNG")
    rows = (tmp_path / "quick.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 3 * 2 * (2 + 1 + 1)  # at the narrow width both parametrisations are one training
    monkeypatch.setattr(study, "train", None)
    study.main(["--out", str(tmp_path), "--quick"])
    assert capsys.readouterr().out == shown


def test_one_seed_has_no_scatter(study, tmp_path):
    with pytest.raises(SystemExit):
        study.main(["--out", str(tmp_path), "--seeds", "1"])


def test_a_training_is_a_function_of_rate_and_seed(study):
    data = study.read(None)
    case = replace(study.MLP, width=4, epochs=1)
    first = study.train(case, data, lr=0.01, seed=3)
    assert study.train(case, data, lr=0.01, seed=3) == first
    assert study.train(case, data, lr=0.01, seed=4) != first
    assert study.train(case, data, lr=1e30, seed=3).loss == math.inf
