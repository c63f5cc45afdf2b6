"""Read tensors from a weights file without ever running code from it, and fit them to a network."""

import hashlib
import logging
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn
from torchvision.models.vision_transformer import interpolate_embeddings

from finegrain.errors import WeightsError, fault

logger = logging.getLogger(__name__)

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
# Where training scripts nest the network's tensors, averaged weights first, and what wrappers put before names.
_NESTS = ("state_dict_ema", "model_ema", "state_dict", "model")
_PREFIXES = ("module.", "model.", "backbone.", "network.", "_orig_mod.")
# DenseNet's files from before torchvision 0.3 name `norm1` as `norm.1`.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")
_SHOWN = 10
_KINDS = "a file ending in " + ", ".join(SUFFIXES)


def read_tensors(path: Path, *, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or of a PyTorch checkpoint, by their names in the file.

    Args:
        path: The file.
        sha256: The digest it must have; None: the one in a file `SHA256` beside it, if there is one.

    Raises:
        WeightsError: It is no such file, is damaged, differs from its digest, or holds more than tensors.
    """
    if not path.is_file() or path.stat().st_size == 0:
        state = "a folder" if path.is_dir() else "an empty file" if path.exists() else "nothing"
        what = "no weights file here"
        raise WeightsError(fault(what, got=f"{path}, {state}", expected=_KINDS, remedy="check model.weights"))
    _verify(path, sha256 or _recorded_digest(path))
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        _refuse_bomb(path)
        # weights_only: an unpickler that knows tensors and containers, and calls nothing else.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # the two readers document no common base for the errors of damaged files
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise _unreadable(path, reason) from error
    return _unnest(content, path)


def fit(network: nn.Module, tensors: Mapping[str, Tensor], *, head: str, source: str, new_head: bool = True) -> None:
    """Load tensors into a network: prefixes stripped, position embeddings resampled, a head of another size left out.

    Everything dropped or resampled is logged.

    Args:
        network: Changed in place.
        tensors: By name, perhaps with the prefixes of wrappers.
        head: Path of the classifier layer, which stays as it is where the tensors' shape differs or they have none.
        source: Where they came from, for messages.
        new_head: Whether the head may differ at all.

    Raises:
        WeightsError: Any other tensor is missing, unexpected or of another shape.
    """
    wanted = network.state_dict()
    found = {_plain_name(name, wanted): tensor for name, tensor in tensors.items()}
    head_names = {name for name in wanted if name.startswith(head + ".")}
    if new_head and any(name not in found or found[name].shape != wanted[name].shape for name in head_names):
        shapes = ", ".join(f"{name} {list(found[name].shape)}" for name in sorted(head_names & found.keys()))
        logger.info("%s: the head starts anew; dropped: %s", source, shapes or "none in the file")
        found = {name: tensor for name, tensor in found.items() if name not in head_names}
    else:
        if new_head and head_names:
            logger.info("%s: its head is kept, since it has as many outputs as there are classes", source)
        head_names = set()
    for name in found.keys() & wanted.keys():
        if found[name].shape != wanted[name].shape and _is_position_embedding(name, found[name]):
            old = list(found[name].shape)
            found[name] = _resampled(network, name, found[name], source)
            logger.info("%s: resampled %s from %s to %s", source, name, old, list(found[name].shape))
    misshapen = sorted(name for name in found.keys() & wanted.keys() if found[name].shape != wanted[name].shape)
    if misshapen:
        rows = [f"{name} {list(found[name].shape)} for {list(wanted[name].shape)}" for name in misshapen]
        raise _foreign(source, f"{len(rows)} of another shape: {_some(rows)}")
    _load(network, found, head_names, source)


def _load(network: nn.Module, tensors: dict[str, Tensor], left_out: set[str], source: str) -> None:
    # The loader itself renames what older versions of a layer called otherwise, so it decides what is missing.
    try:
        result = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise _foreign(source, str(error).splitlines()[-1].strip()) from error
    missing = [name for name in result.missing_keys if name not in left_out]
    parts = [
        f"{len(names)} {title}: {_some(names)}"
        for title, names in (("missing", missing), ("unexpected", result.unexpected_keys))
        if names
    ]
    if parts:
        raise _foreign(source, "; ".join(parts))


def _plain_name(name: str, wanted: Mapping[str, Tensor]) -> str:
    name = _OLD_DENSENET.sub(r"\1\2.", name)
    while name not in wanted:
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None)
        if prefix is None:
            break
        name = name.removeprefix(prefix)
    return name


def _is_position_embedding(name: str, tensor: Tensor) -> bool:
    return name.rpartition(".")[2] in ("pos_embed", "pos_embedding") and tensor.ndim == 3


def _resampled(network: nn.Module, name: str, embedding: Tensor, source: str) -> Tensor:
    """Position embeddings [1, P + N, D] for the network's grid, bicubic as the library itself does it."""
    side: Any = getattr(network, "image_size", None)
    patch: Any = getattr(network, "patch_size", None)
    try:
        if name == "encoder.pos_embedding":
            state = interpolate_embeddings(side, patch, {name: embedding})
            resampled: Tensor = state[name]
        else:
            grid: Any = network.patch_embed.grid_size  # type: ignore[union-attr]
            tokens = 0 if getattr(network, "no_embed_class", False) else getattr(network, "num_prefix_tokens", 1)
            resampled = resample_abs_pos_embed(embedding, new_size=list(grid), num_prefix_tokens=tokens)
    except (AttributeError, RuntimeError, ValueError) as error:
        raise _foreign(source, f"{name} {list(embedding.shape)} cannot be resampled: {error}") from error
    return resampled


def _unnest(content: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(content, dict) and (nest := next((key for key in _NESTS if key in content), None)):
        logger.info("%s: took the tensors under %r", path, nest)
        content = content[nest]
    if not isinstance(content, dict) or not content or not all(isinstance(t, Tensor) for t in content.values()):
        raise _unreadable(path, "not a plain dictionary of tensors")
    return content


def _refuse_bomb(path: Path) -> None:
    """Checkpoints are zip files that store and never compress; also check the CRCs, as torch does not."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or size > path.stat().st_size:
            raise _unreadable(path, "its entries are compressed, which PyTorch never writes")
        damaged = archive.testzip()
    if damaged is not None:
        raise _unreadable(path, f"checksum of {damaged}")


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recorded_digest(path: Path) -> str | None:
    record = path.with_name("SHA256")
    lines = record.read_text(encoding="utf-8").splitlines() if record.is_file() else []
    return next((line.split()[0] for line in lines if line.split()[1:] in ([path.name], [f"*{path.name}"])), None)


def _verify(path: Path, expected: str | None) -> None:
    if expected is not None and (found := digest(path)) != expected.lower():
        what = f"{path} is damaged or was changed"
        remedy = "fetch or copy the file again"
        raise WeightsError(fault(what, got=f"SHA-256 {found}", expected=expected, remedy=remedy))


def _unreadable(path: Path, reason: str) -> WeightsError:
    remedy = "the file is damaged or holds more than tensors: fetch it again, or save it as .safetensors"
    return WeightsError(fault(f"{path} cannot be read as weights", got=reason, expected="tensors only", remedy=remedy))


def _foreign(source: str, difference: str) -> WeightsError:
    return WeightsError(
        fault(
            f"the weights of {source} are not this network's",
            got=difference,
            expected="every tensor but the head",
            remedy="set model.name to the architecture they were trained with",
        )
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
