"""An array that remembers how it was computed, so that gradients can flow back through it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partialmethod
from typing import Any, NamedTuple, NoReturn, Self, TypeAlias

import numpy as np

from finegrain.errors import fault
from finegrain.mytorch.array import Array, Pullback, Recorded, positive_axes, shape_error, unbroadcast
from finegrain.mytorch.grad_mode import is_grad_enabled
from finegrain.mytorch.operators import elementwise, layout, linear, normalization, reduction
from finegrain.mytorch.operators.reduction import Dim

float32, float64, int64 = np.dtype("float32"), np.dtype("float64"), np.dtype("int64")
_default = [float32]
Operand: TypeAlias = "Tensor | float | Array"


def get_default_dtype() -> np.dtype[Any]:
    """Of Python's floats, and of what layers are made of."""
    return _default[0]


def set_default_dtype(dtype: np.dtype[Any]) -> None:
    """Let it be float32, as at first, or float64."""
    if np.dtype(dtype).kind != "f":
        raise TypeError(fault("no default", got=str(dtype), expected="float32 or float64", remedy="check the dtype"))
    _default[0] = np.dtype(dtype)


class Tensor:
    """An array, its gradient once `backward` was called, and the edges of the graph that lead to its inputs.

    Nothing is written in place but by optimisers and `load_state_dict`: `x += y` makes a new tensor, and refuses a leaf
    that asks for its gradient. Mixed precisions give the higher one, where torch refuses some; integers are for labels
    and indexes, and become floats beside floats.
    """

    __array_ufunc__ = None  # so that `array * tensor` asks the tensor
    __slots__ = ("_edges", "array", "grad", "requires_grad")

    def __init__(self, array: Array, *, requires_grad: bool = False) -> None:
        """Wrap `array` without a copy."""
        self.array: Array = np.asarray(array)
        self.grad: Tensor | None = None
        self._edges: tuple[tuple[Tensor, Pullback], ...] | None = ()
        self.requires_grad_(requires_grad)

    def backward(self, gradient: "Tensor | None" = None, retain_graph: bool = False) -> None:
        """Add to the `grad` of every leaf that asks for it.

        Args:
            gradient: Of what is differentiated by this tensor, of its shape; 1 where that is a single number.
            retain_graph: Keep the graph for another time, instead of letting its arrays go on the way.
        """
        if not self.requires_grad:
            remedy = "let a parameter take part, outside no_grad"
            raise RuntimeError(fault("nothing to differentiate", got=repr(self), expected="a result", remedy=remedy))
        given = np.ones_like(self.array) if gradient is None else gradient.array
        if given.shape != self.shape or (gradient is None and given.size != 1):
            expected = "one number, or a gradient of the same shape"
            raise shape_error("backward", self.shape, given.shape, expected=expected, remedy="sum it, or pass one")
        gradients = {id(self): given}
        for tensor in self._graph():
            own = gradients.pop(id(tensor))
            for parent, pull in tensor._edges or ():
                part = unbroadcast(pull(own), parent.shape).astype(parent.dtype, copy=False)
                before = gradients.get(id(parent))
                gradients[id(parent)] = part if before is None else before + part
            if tensor._edges:
                tensor._edges = tensor._edges if retain_graph else None
            else:
                tensor.grad = Tensor(np.array(own if tensor.grad is None else tensor.grad.array + own))

    def _graph(self) -> list["Tensor"]:
        """This tensor and all it was computed from that asks for a gradient, each before its inputs."""
        order: list[Tensor] = []
        seen: set[int] = set()
        stack = [(self, False)]
        while stack:  # no recursion: a graph may be deeper than Python's stack
            tensor, done = stack.pop()
            if done:
                order.append(tensor)
            elif id(tensor) not in seen:
                seen.add(id(tensor))
                if tensor._edges is None:
                    expected, remedy = "a graph that is still there", "compute the result again"
                    what = "backward came by here before"
                    raise RuntimeError(fault(what, got=f"shape {list(tensor.shape)}", expected=expected, remedy=remedy))
                stack.append((tensor, True))
                stack.extend((parent, False) for parent, _ in tensor._edges)
        return order[::-1]

    # What it is

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of all axes."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The kind of its numbers."""
        return self.array.dtype

    @property
    def is_leaf(self) -> bool:
        """Whether it was made rather than computed from what asks for gradients."""
        return self._edges == ()

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one axis."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """How many axes there are."""
        return self.ndim

    def numel(self) -> int:
        """How many numbers there are."""
        return int(self.array.size)

    def item(self) -> Any:
        """The one number as Python's."""
        return self.array.item()

    def numpy(self) -> Array:
        """The array itself, not a copy."""
        return self.array

    def detach(self) -> "Tensor":
        """The same numbers without their past."""
        return Tensor(self.array)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for gradients, or no longer."""
        if requires_grad and self.dtype.kind != "f":
            remedy = "pass dtype=float32"
            raise TypeError(fault("no gradient for this kind", got=str(self.dtype), expected="floats", remedy=remedy))
        if not requires_grad and not self.is_leaf:
            what, expected = "what was computed stays in its graph", "a leaf"
            raise RuntimeError(fault(what, got="requires_grad=False", expected=expected, remedy="use detach()"))
        self.requires_grad = requires_grad
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.array, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator["Tensor"]:
        return (self[row] for row in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.array)

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> Any:
        return float(self.item())

    def __repr__(self) -> str:
        shown = np.array2string(self.array, precision=4, separator=", ", prefix="tensor(")
        return f"tensor({shown}{', requires_grad=True' if self.requires_grad else ''})"

    # Arithmetic

    def __add__(self, other: Operand) -> "Tensor":
        return _arithmetic(elementwise.add, self, other)

    def __sub__(self, other: Operand) -> "Tensor":
        return _arithmetic(elementwise.sub, self, other)

    def __mul__(self, other: Operand) -> "Tensor":
        return _arithmetic(elementwise.mul, self, other)

    def __truediv__(self, other: Operand) -> "Tensor":
        return _arithmetic(elementwise.div, self, other)

    def __pow__(self, other: Operand) -> "Tensor":
        return _arithmetic(elementwise.power, self, other)

    def __matmul__(self, other: "Tensor") -> "Tensor":
        return _arithmetic(linear.matmul, self, other)

    def __rsub__(self, other: Operand) -> "Tensor":
        return _arithmetic(elementwise.sub, other, self)

    def __rtruediv__(self, other: Operand) -> "Tensor":
        return _arithmetic(elementwise.div, other, self)

    def __rpow__(self, other: Operand) -> "Tensor":
        return _arithmetic(elementwise.power, other, self)

    def __neg__(self) -> "Tensor":
        return apply(elementwise.neg, self)

    def _in_place(self, operator: Callable[..., "Tensor"], other: Operand) -> "Tensor":
        """`x += y` makes a new tensor, but not in the place of a leaf, which would be lost to its optimiser."""
        if self.is_leaf and (self.requires_grad or type(self) is not Tensor):
            remedy = "use an optimiser, or write to .array"
            raise TypeError(
                fault("no leaf changes in place", got="+=, -=, *= or the like", expected="=", remedy=remedy)
            )
        return operator(self, other)

    __radd__, __rmul__ = __add__, __mul__
    __iadd__, __isub__ = partialmethod(_in_place, __add__), partialmethod(_in_place, __sub__)
    __imul__, __itruediv__ = partialmethod(_in_place, __mul__), partialmethod(_in_place, __truediv__)
    __ipow__, __imatmul__ = partialmethod(_in_place, __pow__), partialmethod(_in_place, __matmul__)
    add, sub, mul, div, pow, matmul, neg = __add__, __sub__, __mul__, __truediv__, __pow__, __matmul__, __neg__

    def exp(self) -> "Tensor":
        """e to its power."""
        return apply(elementwise.exp, self._as_floats())

    def log(self) -> "Tensor":
        """Natural logarithm."""
        return apply(elementwise.log, self._as_floats())

    def relu(self) -> "Tensor":
        """max(x, 0)."""
        return apply(elementwise.relu, self)

    def sigmoid(self) -> "Tensor":
        """1 / (1 + e^−x)."""
        return apply(elementwise.sigmoid, self._as_floats())

    def tanh(self) -> "Tensor":
        """Hyperbolic tangent."""
        return apply(elementwise.tanh, self._as_floats())

    def softmax(self, dim: int) -> "Tensor":
        """Probabilities along one axis."""
        return apply(normalization.softmax, self, dim=dim)

    def log_softmax(self, dim: int) -> "Tensor":
        """Their logarithms."""
        return apply(normalization.log_softmax, self, dim=dim)

    # Comparison

    def __eq__(self, other: object) -> "Tensor":  # type: ignore[override]
        return Tensor(self.array == _array(other))

    def __ne__(self, other: object) -> "Tensor":  # type: ignore[override]
        return Tensor(self.array != _array(other))

    def __le__(self, other: Any) -> "Tensor":
        return Tensor(self.array <= _array(other))

    def __ge__(self, other: Any) -> "Tensor":
        return Tensor(self.array >= _array(other))

    def __lt__(self, other: Any) -> "Tensor":
        return Tensor(self.array < _array(other))

    def __gt__(self, other: Any) -> "Tensor":
        return Tensor(self.array > _array(other))

    __hash__ = object.__hash__

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> "Tensor":
        """Where the largest stands, the first of equals."""
        return Tensor(np.argmax(self.array, axis=dim, keepdims=keepdim))

    # Reduction

    def sum(self, dim: Dim = None, keepdim: bool = False) -> "Tensor":
        """Along the axes `dim`, or all."""
        return apply(reduction.reduce_sum, self, dim=dim, keepdim=keepdim)

    def mean(self, dim: Dim = None, keepdim: bool = False) -> "Tensor":
        """Along the axes `dim`, or all."""
        return apply(reduction.reduce_mean, self, dim=dim, keepdim=keepdim)

    def max(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The largest of all, or along one axis with its place: `(values, indices)`."""
        if dim is None:
            return apply(reduction.reduce_max, self)
        recorded, indices = reduction.max_along(self.array, dim=dim, keepdim=keepdim)
        return Largest(_record(recorded, (self,)), Tensor(indices))

    # Layout

    def view(self, *shape: Any) -> "Tensor":
        """The numbers in another shape; one size may be −1."""
        return apply(layout.view, self, shape=sizes(shape))

    reshape = view

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> "Tensor":
        """One axis in place of those from `start_dim` to `end_dim`."""
        return apply(layout.flatten, self, start_dim=start_dim, end_dim=end_dim)

    def permute(self, *dims: Any) -> "Tensor":
        """The axes in another order."""
        return apply(layout.permute, self, dims=sizes(dims))

    def transpose(self, dim0: int, dim1: int) -> "Tensor":
        """Two axes exchanged."""
        first, second = positive_axes((dim0, dim1), self.shape)
        dims = list(range(self.ndim))
        dims[first], dims[second] = second, first
        return self.permute(*dims)

    @property
    def T(self) -> "Tensor":
        """All axes in reverse order."""
        return self.permute(*reversed(range(self.ndim)))

    def __getitem__(self, key: Any) -> "Tensor":
        plain = tuple(_index(part) for part in key) if isinstance(key, tuple) else _index(key)
        return apply(layout.index, self, key=plain)

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        remedy = "compute a new tensor, or write to .array where no gradient is needed"
        raise TypeError(fault("no writing in place", got=f"[{key!r}] =", expected="reading", remedy=remedy))

    # Precision

    def to(self, dtype: np.dtype[Any]) -> "Tensor":
        """The numbers in another precision."""
        return self if self.dtype == dtype else apply(elementwise.cast, self, dtype=np.dtype(dtype))

    def float(self) -> "Tensor":
        """In single precision."""
        return self.to(float32)

    def double(self) -> "Tensor":
        """In double precision."""
        return self.to(float64)

    def _as_floats(self) -> "Tensor":
        return self if self.dtype.kind == "f" else self.to(get_default_dtype())


class Largest(NamedTuple):
    """What `Tensor.max` finds along an axis."""

    values: Tensor
    indices: Tensor


def apply(operator: Callable[..., Recorded], *inputs: Tensor, **options: Any) -> Tensor:
    """Compute `operator(*arrays, **options)`, and remember how where an input asks for its gradient."""
    return _record(operator(*(tensor.array for tensor in inputs), **options), inputs)


def _record(recorded: Recorded, inputs: Sequence[Tensor]) -> Tensor:
    array, pulls = recorded
    result = Tensor(array)
    if is_grad_enabled() and result.dtype.kind == "f" and any(tensor.requires_grad for tensor in inputs):
        result.requires_grad = True
        pairs = zip(inputs, pulls, strict=True)
        result._edges = tuple((tensor, pull) for tensor, pull in pairs if tensor.requires_grad)
    return result


def _arithmetic(operator: Callable[..., Recorded], *operands: Operand) -> Tensor:
    """Of operands in one precision: the highest of the tensors', which a Python number takes on."""
    kinds = [operand.dtype for operand in operands if isinstance(operand, Tensor | np.ndarray)]
    floats = [kind for kind in kinds if kind.kind == "f"]
    if floats:
        dtype = np.result_type(*floats)
    elif operator is elementwise.div or any(isinstance(operand, float) for operand in operands):
        dtype = get_default_dtype()
    else:
        dtype = np.result_type(*kinds)
        dtype = int64 if dtype.kind == "b" and int in map(type, operands) else dtype
    tensors = [operand if isinstance(operand, Tensor) else Tensor(np.asarray(operand)) for operand in operands]
    return apply(operator, *(tensor.to(dtype) for tensor in tensors))


def _array(value: Any) -> Any:
    return value.array if isinstance(value, Tensor) else value


def _index(part: Any) -> Any:
    return np.asarray(part, dtype=None if len(part) else int) if isinstance(part, list) else _array(part)


def sizes(given: tuple[Any, ...]) -> tuple[int, ...]:
    """Of `view(2, 3)` as of `view((2, 3))`."""
    return tuple(given[0]) if len(given) == 1 and isinstance(given[0], Sequence) else given
