"""Folders that hold a network and all it takes to use it, in timm's hub layout: `config.json`, `model.safetensors`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from finegrain.errors import OutputError, WeightsError, fault
from finegrain.models.architecture import Architecture, find_architecture
from finegrain.models.backbone import build_classifier, preprocessing_of
from finegrain.models.classifier import Classifier
from finegrain.models.prompts import PromptLayout
from finegrain.models.tensors import digest, fit, read_tensors
from finegrain.preprocessing import Preprocessing
from finegrain.storage import atomic_write

CONFIG_NAME = "config.json"
TENSORS_NAME = "model.safetensors"
ADAPTER_TENSORS_NAME = "adapter_model.safetensors"
RESERVED_ARGS = (
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "checkpoint_path",
    "cache_dir",
    "num_classes",
)
"""What arguments of a network may not set: where to read weights from, and what is stated elsewhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """The weights that an adapter belongs to."""

    weights: str | None
    """As `model.weights` named them."""
    sha256: str
    """Of the tensors that stayed frozen."""
    adapter_sha256: str
    """Of the file that describes the adapter."""

    def __post_init__(self) -> None:
        """Refuse what no file of this project says.

        Raises:
            ValueError: A field is of another type.
        """
        if not (isinstance(self.weights, str | None) and type(self.sha256) is type(self.adapter_sha256) is str):
            raise ValueError(f"base: {self}")


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsFolder:
    """What `config.json` says of the tensors beside it."""

    file: Path
    """The tensors."""
    architecture: str
    """With its library, e.g. `timm/mobilenetv2_100`."""
    model_args: dict[str, Any]
    """Arguments of the library's constructor."""
    pretrained_cfg: dict[str, Any]
    """The expected input, in timm's terms."""
    class_names: tuple[str, ...]
    """In the order of the head's outputs; empty where the folder does not say."""
    sha256: str | None
    """Of the tensors file."""
    base: Base | None
    """What the tensors are to be put on; None where they are a whole network's."""
    prompts: PromptLayout | None
    """Tokens that the network has beside its own; timm does not load such a folder."""


def save_folder(
    classifier: Classifier, folder: Path, *, class_names: Sequence[str], extra: Mapping[str, Any] | None = None
) -> None:
    """Write a classifier so that `load_folder` here, or `timm.create_model("local-dir:...")`, builds it again.

    Args:
        classifier: Written whole, an adapter as part of the weights; which parts are frozen is not written.
        folder: Made if need be.
        class_names: K names, in the order of the head's outputs.
        extra: Plain JSON to keep beside it, such as the recipe.

    Raises:
        OutputError: The folder cannot be written.
    """
    plain = classifier.merged() if classifier.adapter else classifier
    write_tensors(plain.network.state_dict(), folder / TENSORS_NAME)
    write_config(plain, folder / TENSORS_NAME, class_names=class_names, extra=extra)


def write_tensors(state: Mapping[str, Tensor], file: Path) -> None:
    """Write tensors as safetensors, in a folder that is made if need be.

    Raises:
        OutputError: It cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(tensors, file, metadata={"format": "pt"})
    except (OSError, SafetensorError) as error:
        size = sum(tensor.nbytes for tensor in tensors.values())
        expected = f"a folder with room for {size:,} bytes"
        what = f"{file.parent} cannot be written"
        raise OutputError(fault(what, got=str(error), expected=expected, remedy="free space or mend rights")) from error


def write_config(
    classifier: Classifier,
    file: Path,
    *,
    class_names: Sequence[str],
    extra: Mapping[str, Any] | None = None,
    base: Base | None = None,
) -> None:
    """Write `config.json` beside the tensors in `file`; arguments as for `save_folder`, `base` for an adapter's."""
    architecture = find_architecture(classifier.architecture, trust=True)
    cfg = architecture.library.pretrained_cfg(architecture.name, None)
    head: Any = classifier.get_submodule(classifier.head_name)
    config = {
        "architecture": architecture.name,
        "library": architecture.library.name,
        "num_classes": classifier.num_classes,
        "num_features": head.weight.shape[1],
        "model_args": classifier.model_args,
        "pretrained_cfg": {**cfg, **_input_cfg(classifier.preprocessing), "num_classes": classifier.num_classes,
                           "tag": "finegrain", "custom_load": False},
        "label_names": list(class_names),
        "sha256": digest(file),
        **({} if base is None else {"base": asdict(base)}),
        **({} if classifier.prompts is None else {"prompts": asdict(classifier.prompts)}),
        "extra": dict(extra or {}),
    }  # fmt: skip
    atomic_write(file.with_name(CONFIG_NAME), json.dumps(config, indent=1) + "\n")


def load_folder(folder: Path, *, trust: bool = False) -> tuple[Classifier, tuple[str, ...]]:
    """The classifier that `save_folder` wrote, and its class names.

    Args:
        folder: Holds `config.json` and `model.safetensors`.
        trust: Whether a torch.hub network's code may run.

    Raises:
        WeightsError: A file is missing, damaged or of another network, or the class list does not fit.
    """
    content = read_folder(folder)
    num_classes = len(content.class_names)
    if num_classes == 0 or len(set(content.class_names)) < num_classes:
        remedy = "use a folder that this project wrote"
        raise WeightsError(
            fault(f"{folder} names no classes", got=num_classes, expected="unique label_names", remedy=remedy)
        )
    classifier = build_classifier(
        find_architecture(content.architecture, trust=trust),
        num_classes=num_classes,
        preprocessing=preprocessing_of(content.pretrained_cfg),
        model_args=content.model_args,
        prompts=content.prompts,
    )
    load_file(classifier, content.file, sha256=content.sha256, new_head=False)
    return classifier, content.class_names


def load_file(classifier: Classifier, file: Path, *, sha256: str | None = None, new_head: bool = True) -> None:
    """Load a weights file into a classifier.

    Args:
        classifier: Changed in place.
        file: A `.safetensors` file or a PyTorch checkpoint.
        sha256: The digest that the file must have.
        new_head: Whether the file may be of other classes.

    Raises:
        WeightsError: The file cannot be read or is of another network.
    """
    _fit(classifier, read_tensors(file, sha256=sha256), source=str(file), new_head=new_head)


def load_network(classifier: Classifier, other: Classifier, *, source: str) -> None:
    """Load the tensors of another classifier, perhaps of other classes or another image size, into a classifier.

    Args:
        classifier: Changed in place.
        other: Of the same architecture.
        source: What to call it.

    Raises:
        WeightsError: It is of another architecture.
    """
    _fit(classifier, other.network.state_dict(), source=source)


def load_tag(classifier: Classifier, architecture: Architecture, tag: str) -> None:
    """Load a library's published weights into a classifier.

    Args:
        classifier: Changed in place.
        architecture: The classifier's.
        tag: One of the architecture's weights.

    Raises:
        WeightsError: They are not on this machine and cannot be fetched.
    """
    tensors = architecture.library.pretrained_tensors(architecture.name, tag)
    _fit(classifier, tensors, source=f"{architecture} {tag}")


def folder_at(path: Path) -> WeightsFolder | None:
    """The folder at `path`, or the one around it if it is a folder's tensors file; None for any other file.

    Raises:
        WeightsError: The folder's `config.json` is missing or not as it should be.
    """
    if path.is_dir():
        return read_folder(path)
    known = path.name in (TENSORS_NAME, ADAPTER_TENSORS_NAME) and path.with_name(CONFIG_NAME).is_file()
    return read_folder(path.parent) if known else None


def read_folder(folder: Path) -> WeightsFolder:
    """Read and check `config.json`.

    Raises:
        WeightsError: It is missing or not as it should be.
    """
    path = folder / CONFIG_NAME
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        library = config.get("library", "timm")
        sha256, names = config.get("sha256"), tuple(str(name) for name in config.get("label_names") or ())
        base = Base(**config["base"]) if "base" in config else None
        content = WeightsFolder(
            file=folder / (ADAPTER_TENSORS_NAME if base else TENSORS_NAME),
            architecture=f"{library}/{config['architecture']}",
            model_args=dict(config.get("model_args") or {}),
            pretrained_cfg=dict(config["pretrained_cfg"]),
            class_names=names,
            sha256=None if sha256 is None else str(sha256),
            base=base,
            prompts=PromptLayout(**config["prompts"]) if "prompts" in config else None,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        expected = "JSON with architecture and pretrained_cfg, in timm's hub layout"
        raise WeightsError(
            fault(f"{path} does not describe weights", got=reason, expected=expected, remedy="check the folder")
        ) from error
    reserved = [key for key in RESERVED_ARGS if key in content.model_args]
    if reserved:
        remedy = "remove them from config.json"
        raise WeightsError(
            fault(f"{path}: forbidden model_args", got=str(reserved), expected="arguments of shape", remedy=remedy)
        )
    return content


def _fit(classifier: Classifier, tensors: Mapping[str, Tensor], *, source: str, new_head: bool = True) -> None:
    fit(classifier.network, tensors, head=_head(classifier), source=source, new_head=new_head)
    classifier.pretrained = source


def _head(classifier: Classifier) -> str:
    return classifier.head_name.removeprefix("network.")


def _input_cfg(preprocessing: Preprocessing) -> dict[str, Any]:
    size = preprocessing.image_size
    return {
        "input_size": [3, size, size],
        "crop_pct": size / preprocessing.resize_size,
        "interpolation": preprocessing.interpolation,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
    }
