"""Names of network architectures: which library a name means, and the nearest names where it means none."""

import difflib
from dataclasses import dataclass

from finegrain.errors import WeightsError, fault
from finegrain.models.hub import HubLibrary
from finegrain.models.library import Library
from finegrain.models.scratch_library import ScratchLibrary
from finegrain.models.timm_library import TimmLibrary
from finegrain.models.torchvision_library import TorchvisionLibrary

_LIBRARIES: tuple[Library, ...] = (TorchvisionLibrary(), TimmLibrary(), ScratchLibrary())
# Bare names of these families mean torchvision, although timm has a `resnet50` too: they are the names
# that the literature's figures go by. Every other bare name means timm first, and the project's own network last.
_TORCHVISION_FAMILIES = ("resnet", "resnext", "wide_resnet", "vit_")


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """A network's name within its library."""

    library: Library
    name: str

    def __str__(self) -> str:
        return f"{self.library.name}/{self.name}"


def find_architecture(name: str, *, trust: bool = False) -> Architecture:
    """The architecture that `name` means: `torchvision/resnet50`, `scratch/resnet50`, a bare name, or one of torch.hub.

    Args:
        name: A torch.hub name has the form `hub/OWNER/REPO@COMMIT:ENTRY`.
        trust: Whether a torch.hub repository's code may run.

    Raises:
        ConfigError: A torch.hub name without trust or commit.
        WeightsError: No library has it; names the nearest.
    """
    prefix, separator, bare = name.partition("/")
    if prefix == HubLibrary.name:
        return Architecture(library=HubLibrary.for_name(bare, trust=trust), name=bare)
    libraries = {library.name: library for library in _LIBRARIES}
    if not separator:
        bare = name
        torchvision, timm, scratch = _LIBRARIES
        order = (torchvision, timm) if name.startswith(_TORCHVISION_FAMILIES) else (timm, torchvision)
        for library in (*order, scratch):
            if name in library.names():
                return Architecture(library=library, name=name)
    elif prefix in libraries and bare in libraries[prefix].names():
        return Architecture(library=libraries[prefix], name=bare)
    raise WeightsError(
        fault("unknown model name", got=name, expected="one of torchvision, timm or scratch", remedy=_hint(bare))
    )


def _hint(name: str) -> str:
    if not name:
        return "set model.name, or model.weights to a folder that states it"
    known = {f"{library.name}/{bare}": bare for library in _LIBRARIES for bare in library.names()}
    base, dot, tag = name.partition(".")
    if dot and base in known.values():
        return f"write the part after the dot as weights: model.name={base} model.weights={tag}"
    close = difflib.get_close_matches(name, sorted(set(known.values())), n=3, cutoff=0.5)
    nearest = [full for bare in close for full, its_bare in known.items() if its_bare == bare]
    return f"did you mean {', '.join(nearest)}?" if nearest else "write torchvision/NAME or timm/NAME, or scratch/NAME"
