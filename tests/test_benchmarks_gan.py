"""The benchmark of GANs: both sides train the same networks from the same losses; nothing is timed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from finegrain.runtime import seed_of

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
STYLES = ("upsample", "transposed")


@pytest.fixture(scope="module", autouse=True)
def on_the_path() -> Iterator[None]:
    """The folder of the benchmarks is on the path when one is run as a script; every machine computes in fp32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        patch.setattr("finegrain.runtime._computes_bf16", lambda device: False)
        yield


def job(style: Any, **changes: Any):
    from gan_networks import GanJob

    return GanJob(**{"image_size": 32, "images": 8, "batch_size": 8, "style": style, "width": 4, **changes})


def tensors(network: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in network.state_dict().values()]


@pytest.mark.parametrize("style", STYLES)
def test_both_sides_train_the_same_networks_from_the_same_loss(style: str) -> None:
    from finegrain_gan import FinegrainGan
    from peers.plain_gan import PlainGan

    ours, peer = FinegrainGan(job(style)), PlainGan(job(style))
    before = tensors(peer.average.module)
    torch.testing.assert_close(tensors(ours.average), before, rtol=0, atol=0)
    torch.manual_seed(seed_of(0, "step", 0))  # the same noise
    assert peer.epoch().images == ours.epoch().images == 8
    # The plain loop's power iteration moves between real and generated images.
    assert ours.losses[0] == pytest.approx(peer.losses[0], rel=1e-3)
    for side in (ours, peer):
        loss = side.losses
        side.epoch()
        assert side.losses != loss, "it learns"
    for average in (ours.average, peer.average.module):
        assert not any(torch.equal(*pair) for pair in zip(tensors(average), before, strict=True) if pair[0].ndim == 4)


@pytest.mark.parametrize("style", STYLES)
def test_both_sides_make_the_same_images_of_the_same_noise(style: str) -> None:
    from gan_networks import networks
    from peers.plain_gan import plain_networks

    noise, labels = torch.randn(4, 128), torch.arange(4)
    ours, plain = (built(job(style))[0] for built in (networks, plain_networks))
    torch.testing.assert_close(ours(noise, labels), plain(noise, labels))


def test_all_images_are_made_in_batches() -> None:
    from gan import SIDES

    for build in SIDES["sample"]:
        side = build(job("upsample", images=5, batch_size=2))
        assert [side.epoch().images, side.epoch().images] == [5, 5]
