"""What the project asks of a library of networks: its names, a network by name, and pretrained tensors by tag."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from finegrain.errors import ConfigError, WeightsError, fault

Matcher = dict[str, Any] | Callable[[str], Any]
"""How parameter names fall into layer groups, in the form that `timm.models.group_parameters` takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Regularisation:
    """Dropout rates inside a network, each in [0, 1)."""

    attention_dropout: float = 0.0
    drop_path_rate: float = 0.0


class Library:
    """A library of image classifiers; a subclass wraps one."""

    name: str

    def names(self) -> Sequence[str]:
        """Every architecture's name."""
        raise NotImplementedError

    def tags(self, name: str) -> Sequence[str]:
        """The pretrained weights of an architecture, beside `DEFAULT`."""
        raise NotImplementedError

    def pretrained_cfg(self, name: str, tag: str | None) -> dict[str, Any]:
        """What weights expect of an image, in timm's terms; with no tag, what the architecture was made for."""
        raise NotImplementedError

    def tag_of_file(self, name: str, file_name: str) -> str | None:
        """The tag whose published file is called so, None where that says nothing."""
        return None

    def pretrained_tensors(self, name: str, tag: str) -> Mapping[str, Tensor]:
        """The tensors behind a tag, from the cache or the network.

        Raises:
            WeightsError: They are not on this machine and cannot be fetched.
        """
        raise NotImplementedError

    def model_args(self, name: str, image_size: int) -> dict[str, Any]:
        """Arguments that fix an architecture's input size; none for networks that take any."""
        raise NotImplementedError

    def any_size_args(self, network: nn.Module) -> dict[str, Any]:
        """Arguments with which a network of a fixed input size takes any; none where it cannot."""
        return {}

    def create(
        self, name: str, *, num_classes: int, model_args: Mapping[str, Any], regularisation: Regularisation
    ) -> nn.Module:
        """A network with random weights and `num_classes` outputs.

        Raises:
            ConfigError: It has no such kind of dropout.
            WeightsError: The library cannot build it so.
        """
        raise NotImplementedError

    def head(self, network: nn.Module) -> str:
        """Path of the classifier layer: linear, or a convolution that acts as one.

        Raises:
            WeightsError: It has none.
        """
        raise NotImplementedError

    def matcher(self, network: nn.Module) -> Matcher:
        """How its parameters fall into layer groups, by stage or block."""
        raise NotImplementedError


def construct(
    build: Callable[..., Any], title: str, arguments: Mapping[str, Any], rates: Mapping[str, tuple[str, float]]
) -> nn.Module:
    """Call `build` with the arguments and the rates above zero, and name the one that it does not take.

    Args:
        build: Makes the network.
        title: The architecture in messages.
        arguments: Passed as they are.
        rates: The library's keyword → the section's field and its value.
    """
    used = {keyword: value for keyword, (_, value) in rates.items() if value > 0}
    try:
        network = build(**arguments, **used)
    except TypeError as error:
        for keyword in used:
            if f"'{keyword}'" in str(error):
                raise lacks(title, *rates[keyword]) from error
        raise WeightsError(_cannot_build(title, error)) from error
    except (AssertionError, ValueError, RuntimeError) as error:
        raise WeightsError(_cannot_build(title, error)) from error
    if not isinstance(network, nn.Module):
        raise WeightsError(_cannot_build(title, TypeError("it is no network")))
    return network


def lacks(title: str, field: str, value: float) -> ConfigError:
    """The one message for a kind of dropout that an architecture does not have."""
    return ConfigError(fault(f"{title} has no {field}", got=value, expected="0", remedy=f"set model.{field}=0"))


def cannot_fetch(title: str, error: Exception, *, file: str, place: str) -> WeightsError:
    """The one message for weights that are neither on this machine nor within reach."""
    return WeightsError(
        fault(
            f"the weights of {title} are not on this machine and cannot be fetched",
            got=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no details'}",
            expected=file,
            remedy=f"put it {place}, or set model.weights to a local copy",
        )
    )


def _cannot_build(title: str, error: Exception) -> str:
    return fault(
        f"{title} cannot be built",
        got=str(error) or type(error).__name__,
        expected="arguments that the architecture takes",
        remedy="check model.image_size, model.args and the model_args of the weights folder",
    )
