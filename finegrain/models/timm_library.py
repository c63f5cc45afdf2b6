"""timm's networks."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import timm
import timm.models
from timm.layers import DropPath
from timm.models import Eva, RDNet, VisionTransformer
from torch import Tensor, nn

from finegrain.errors import WeightsError, fault
from finegrain.models.layout import by_unit
from finegrain.models.library import Library, Matcher, Regularisation, cannot_fetch, construct


class TimmLibrary(Library):
    """timm (Wightman 2019): networks by `timm.create_model`, weights by `architecture.tag`."""

    name = "timm"

    def names(self) -> Sequence[str]:
        """Every architecture's name."""
        return _names()

    def tags(self, name: str) -> Sequence[str]:
        """The pretrained weights of an architecture, beside `DEFAULT`."""
        return [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]

    def pretrained_cfg(self, name: str, tag: str | None) -> dict[str, Any]:
        """The entry of timm's registry for these weights."""
        return dict(_registered(name, tag).to_dict(remove_source=True))

    def pretrained_tensors(self, name: str, tag: str) -> Mapping[str, Tensor]:
        """The tensors as timm loads them into its own network, through its filters for older files."""
        cfg = _registered(name, tag)
        # The downloaders raise errors of several HTTP libraries, with no common base but Exception.
        try:
            _reach(cfg.hf_hub_id)
            network = timm.create_model(f"{name}.{cfg.tag}", pretrained=True)
        except Exception as error:
            if cfg.hf_hub_id:
                file = f"{huggingface_hub.constants.ENDPOINT}/{cfg.hf_hub_id} (config.json and model.safetensors)"
                cache = huggingface_hub.constants.HF_HUB_CACHE
                place = f"in one folder for model.weights, or by huggingface_hub in {cache}"
            else:
                file, place = str(cfg.url), "where torch.hub keeps its checkpoints"
            raise cannot_fetch(f"timm/{name}.{cfg.tag}", error, file=file, place=place) from error
        tensors: dict[str, Tensor] = network.state_dict()
        return tensors

    def model_args(self, name: str, image_size: int) -> dict[str, Any]:
        """`img_size` for networks of a fixed input size, as ViTs are."""
        return {"img_size": image_size} if timm.models.get_pretrained_cfg(name).fixed_input_size else {}

    def any_size_args(self, network: nn.Module) -> dict[str, Any]:
        """`dynamic_img_size`, by which ViTs resample their position embeddings to the grid of each batch."""
        return {"dynamic_img_size": True} if isinstance(network, (VisionTransformer, Eva)) else {}

    def create(
        self, name: str, *, num_classes: int, model_args: Mapping[str, Any], regularisation: Regularisation
    ) -> nn.Module:
        """A network with random weights and `num_classes` outputs."""
        rates = {
            "attn_drop_rate": ("attention_dropout", regularisation.attention_dropout),
            "drop_path_rate": ("drop_path_rate", regularisation.drop_path_rate),
        }
        build = functools.partial(timm.create_model, name, num_classes=num_classes)
        network = construct(build, f"timm/{name}", model_args, rates)
        if regularisation.drop_path_rate == 0:  # some, as Swin, have a rate of their own where none is given
            for module in network.modules():
                if isinstance(module, DropPath):
                    module.drop_prob = 0.0
        return network

    def head(self, network: nn.Module) -> str:
        """Path of the one layer, in what `get_classifier` returns, that has an output for each class."""
        classifier: Any = network.get_classifier()  # type: ignore[operator]
        inside = set(classifier.modules()) if isinstance(classifier, nn.Module) else set()
        outputs: Any = network.num_classes
        heads = [path for path, module in network.named_modules() if module in inside and _outputs(module) == outputs]
        if len(heads) == 1:
            return str(heads[0])
        raise WeightsError(
            fault(
                "this timm network has not one classifier layer",
                got=type(network).__name__,
                expected="an architecture that ends in one layer of num_classes outputs",
                remedy="choose another one, e.g. the version that is not distilled",
            )
        )

    def matcher(self, network: nn.Module) -> Matcher:
        """timm's own grouping, by stage for convolutional networks and by block for ViTs."""
        own: Any = getattr(network, "group_matcher", None)
        if own is None or isinstance(network, RDNet):  # whose own knows no coarse grouping
            return by_unit(network, self.head(network))
        matcher: Matcher = own(coarse=True)
        return matcher


@functools.cache
def _names() -> tuple[str, ...]:
    return tuple(timm.list_models())


def _outputs(module: nn.Module) -> int | None:
    if isinstance(module, nn.Linear):
        return module.out_features
    return module.out_channels if isinstance(module, nn.Conv2d) else None


def _registered(name: str, tag: str | None) -> Any:
    return timm.models.get_pretrained_cfg(name if tag in (None, "DEFAULT") else f"{name}.{tag}")


def _reach(hub_id: str | None) -> None:
    """Fail within seconds where the hub is out of reach: the downloader itself retries for most of a minute."""
    if hub_id and not isinstance(huggingface_hub.try_to_load_from_cache(hub_id, "model.safetensors"), str):
        huggingface_hub.HfApi().model_info(hub_id, timeout=10)
