"""NTS-Net from torch.hub: code of others, so only when trusted by name and pinned to a commit."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from finegrain.errors import ConfigError, WeightsError, fault
from finegrain.models.library import Library, Matcher, Regularisation, cannot_fetch, construct

_NAME: Final = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40}):(?P<entry>\w+)")
_CLASS_SCORES: Final = 3


class NtsNet(nn.Module):
    """NTS-Net (Yang et al., Learning to Navigate for Fine-grained Classification, ECCV 2018) as a plain classifier.

    The network returns seven things; the class scores are the fourth, `concat_logits`, of the whole image and its
    most informative parts. Trained by a classification loss alone, its proposal branch stays as it was pretrained.
    """

    def __init__(self, network: nn.Module, num_classes: int) -> None:
        super().__init__()
        head = getattr(network, "concat_net", None)
        if not isinstance(head, nn.Linear):
            raise WeightsError(
                fault(
                    "this torch.hub network is no NTS-Net",
                    got=type(network).__name__,
                    expected="a network with a linear layer concat_net",
                    remedy="name the entry that builds NTS-Net",
                )
            )
        if head.out_features != num_classes:
            network.concat_net = nn.Linear(head.in_features, num_classes)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, 3, 448, 448] to class scores [B, K]."""
        self.network.device = images.device  # type: ignore[assignment]  # its code creates tensors there
        with _numpy_int():
            scores: Tensor = self.network(images)[_CLASS_SCORES]
        return scores


class HubLibrary(Library):
    """torch.hub repositories that provide NTS-Net; names are `OWNER/REPO@COMMIT:ENTRY`."""

    name = "hub"

    @classmethod
    def for_name(cls, name: str, *, trust: bool) -> "HubLibrary":
        """The library, if the name is pinned to a commit and the user trusts it.

        Raises:
            ConfigError: It is not.
        """
        if not _NAME.fullmatch(name):
            remedy = "write the full commit, so that the code cannot change"
            raise ConfigError(
                fault("not a pinned torch.hub name", got=name, expected="hub/OWNER/REPO@COMMIT:ENTRY", remedy=remedy)
            )
        if not trust:
            remedy = "read the repository at that commit, then set model.trust=true"
            raise ConfigError(fault("torch.hub runs code of others", got=name, expected="your trust", remedy=remedy))
        return cls()

    def names(self) -> Sequence[str]:
        """None: torch.hub has no list."""
        return ()

    def tags(self, name: str) -> Sequence[str]:
        """Only `DEFAULT`."""
        return ()

    def pretrained_cfg(self, name: str, tag: str | None) -> dict[str, Any]:
        """NTS-Net's published recipe: 600 → 448 pixels and ImageNet's mean and deviation."""
        return {
            "input_size": (3, 448, 448),
            "crop_pct": 448 / 600,
            "interpolation": "bilinear",
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
        }

    def pretrained_tensors(self, name: str, tag: str) -> Mapping[str, Tensor]:
        """What the repository's entry loads with `pretrained=True`."""
        network = _load(name, pretrained=True)
        return {f"network.{key}": tensor for key, tensor in network.state_dict().items()}

    def model_args(self, name: str, image_size: int) -> dict[str, Any]:
        """None."""
        return {}

    def create(
        self, name: str, *, num_classes: int, model_args: Mapping[str, Any], regularisation: Regularisation
    ) -> nn.Module:
        """NTS-Net without the repository's weights."""
        rates = {
            "attention_dropout": ("attention_dropout", regularisation.attention_dropout),
            "drop_path_rate": ("drop_path_rate", regularisation.drop_path_rate),
        }
        return construct(lambda: NtsNet(_load(name, pretrained=False), num_classes), f"hub/{name}", model_args, rates)

    def head(self, network: nn.Module) -> str:
        """The layer that gives the class scores."""
        return "network.concat_net"

    def matcher(self, network: nn.Module) -> Matcher:
        """The stages of its ResNet; the rest with the head."""
        trunk = r"^network\.pretrained_model\."
        return {"stem": trunk + r"(?:conv1|bn1)", "blocks": trunk + r"layer(\d+)"}


def _load(name: str, *, pretrained: bool) -> nn.Module:
    found = _NAME.fullmatch(name)
    if found is None:
        raise ConfigError(fault("not a torch.hub name", got=name, expected="OWNER/REPO@COMMIT:ENTRY", remedy="mend it"))
    repo = f"{found['repo']}:{found['commit']}"
    try:
        with _numpy_int():
            # The commit is the pin; the validation would ask GitHub whether it is on a branch.
            network: nn.Module = torch.hub.load(  # type: ignore[no-untyped-call]
                repo, found["entry"], trust_repo=True, skip_validation=True, verbose=False, pretrained=pretrained
            )
    except (OSError, RuntimeError, ValueError) as error:
        place = f"unpacked in {Path(torch.hub.get_dir())}"
        file = f"the repository {found['repo']} at {found['commit']}, and its weights"
        raise cannot_fetch(f"hub/{name}", error, file=file, place=place) from error
    return network


@contextmanager
def _numpy_int() -> Iterator[None]:
    """Lend NumPy the alias `np.int`, removed in 1.24, that NTS-Net's code still uses."""
    if hasattr(np, "int"):
        yield
        return
    np.int = int  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del np.int  # type: ignore[attr-defined]
