"""Modules: trees of parameters and buffers with names, as in torch."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from finegrain.errors import CheckpointError, fault
from finegrain.mytorch.array import Array
from finegrain.mytorch.tensor import Tensor


class Parameter(Tensor):
    """A tensor that a module trains."""

    __slots__ = ()

    def __init__(self, data: Tensor | Array, requires_grad: bool = True) -> None:
        """Share the numbers of `data`."""
        super().__init__(data.array if isinstance(data, Tensor) else data, requires_grad=requires_grad)


class Module:
    """What has parameters, buffers and modules as its attributes, and computes in `forward`.

    Order and names are torch's: own parameters, own buffers, then those of the modules below, as they were set.
    """

    training: bool = True
    _buffers: tuple[str, ...] = ()

    def forward(self, *inputs: Any) -> Any:
        """Compute the module's result."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """See `forward`."""
        return self.forward(*inputs, **options)

    def register_buffer(self, name: str, tensor: Tensor) -> None:
        """Keep a tensor that belongs to the state but is not trained."""
        setattr(self, name, tensor)
        self._buffers = (*self._buffers, name)

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The modules right below."""
        yield from ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """This module and all below, by their paths."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def children(self) -> Iterator["Module"]:
        """The modules right below."""
        yield from (child for _, child in self.named_children())

    def modules(self) -> Iterator["Module"]:
        """This module and all below."""
        yield from (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All that is trained, each once."""
        seen: set[int] = set()
        for name, value in self._named_tensors():
            if isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def parameters(self) -> Iterator[Parameter]:
        """All that is trained, each once."""
        yield from (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """What belongs to the state but is not trained."""
        yield from ((name, value) for name, value in self._named_tensors() if not isinstance(value, Parameter))

    def _named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        for path, module in self.named_modules():
            before = f"{path}." if path else ""
            own = vars(module)
            yield from ((before + name, value) for name, value in own.items() if isinstance(value, Parameter))
            yield from ((before + name, own[name]) for name in module._buffers)

    def train(self, mode: bool = True) -> Self:
        """Behave as in training, all modules below too."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Behave as in evaluation."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, dtype: np.dtype[Any]) -> Self:
        """Bring all floats to this precision."""
        for _, tensor in self._named_tensors():
            if tensor.dtype.kind == "f":
                tensor.array, tensor.grad = tensor.array.astype(dtype), None
        return self

    def double(self) -> Self:
        """Bring all floats to double precision."""
        return self.to(np.dtype("float64"))

    def float(self) -> Self:
        """Bring all floats to single precision."""
        return self.to(np.dtype("float32"))

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and buffers by name, sharing their memory."""
        return {name: tensor.detach() for name, tensor in self._named_tensors()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over tensors, ours or torch's, or arrays of these names and shapes; all, or none where one is wrong.

        Raises:
            CheckpointError: Names are missing or unknown, or a shape is another.
        """
        own = dict(self._named_tensors())
        if own.keys() != state.keys():
            got = f"without {sorted(own.keys() - state.keys())}, with {sorted(state.keys() - own.keys())}"
            what, expected = "this state dict is of another model", "the model's own names"
            raise CheckpointError(fault(what, got=got, expected=expected, remedy="build the model as it was saved"))
        arrays = {name: np.asarray(value) for name, value in state.items()}
        for name, tensor in own.items():
            if arrays[name].shape != tensor.shape:
                what, got = f"{name} has another shape", str(list(arrays[name].shape))
                expected, remedy = str(list(tensor.shape)), "build the model as it was saved"
                raise CheckpointError(fault(what, got=got, expected=expected, remedy=remedy))
        for name, tensor in own.items():
            tensor.array[...] = arrays[name]


class Sequential(Module):
    """Modules one after the other, named by their numbers."""

    def __init__(self, *modules: Module) -> None:
        for number, module in enumerate(modules):
            if not isinstance(module, Module):
                expected, remedy = "modules", "write nn.ReLU() for F.relu"
                raise TypeError(fault("this cannot stand in Sequential", got=module, expected=expected, remedy=remedy))
            setattr(self, str(number), module)

    def forward(self, input: Any) -> Any:
        """Pass `input` through all of them."""
        for module in self.children():
            input = module(input)
        return input

    def __len__(self) -> int:
        return len(list(self.children()))

    def __getitem__(self, number: int) -> Module:
        return list(self.children())[number]
