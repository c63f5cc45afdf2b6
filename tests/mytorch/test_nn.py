"""Modules and layers beside torch's: names, shapes, initial weights, training and evaluation, state dicts."""

import zipfile

import numpy as np
import pytest
import torch

from finegrain import mytorch
from finegrain.errors import CheckpointError, ConfigError
from finegrain.mytorch import nn
from finegrain.mytorch.networks import fcn, lenet

LENET_BN = {"batch_norm": True, "activation": "ReLU"}


def shapes(model):
    return [(name, tuple(value.shape)) for name, value in model.state_dict().items()]


@pytest.mark.parametrize(("build", "count"), [(fcn, 235_146), (lenet, 61_706)])
def test_networks_have_their_exact_counts_in_both_libraries(build, count):
    for lib in (nn, torch.nn):
        assert sum(parameter.numel() for parameter in build(lib).parameters()) == count


def make_network(lib):
    """A class in torch's manner; `lib` is torch or mytorch."""

    class Block(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = lib.nn.Conv2d(3, 3, (3, 1), padding=(1, 0), bias=False)
            self.norm = lib.nn.BatchNorm2d(3)
            self.rest = lib.nn.Sequential(lib.nn.Tanh(), lib.nn.MaxPool2d(2), lib.nn.Flatten(), lib.nn.Linear(12, 2))
            self.scale = lib.nn.Parameter(lib.ones(1))

        def forward(self, x):
            x = x + self.norm(self.conv(x))
            return self.rest(x) * self.scale

    return Block()


def test_state_dicts_have_torchs_names_order_and_shapes():
    assert shapes(make_network(mytorch)) == shapes(make_network(torch))
    assert shapes(lenet(nn, **LENET_BN)) == shapes(lenet(torch.nn, **LENET_BN))
    names = [name for name, _ in make_network(mytorch).named_parameters()]
    assert names == [name for name, _ in make_network(torch).named_parameters()]


def test_weights_travel_to_torch_and_back(tmp_path):
    images = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    ours, theirs, again = make_network(mytorch), make_network(torch), make_network(mytorch)
    ours(mytorch.tensor(images))  # moves the running statistics
    mytorch.save(ours.state_dict(), tmp_path / "weights.npz")
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as file:
        theirs.load_state_dict({name: torch.from_numpy(file[name]) for name in file.files})
    result = theirs.eval()(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(ours.eval()(mytorch.tensor(images)).array, result, rtol=1e-5, atol=1e-6)
    again.load_state_dict(theirs.state_dict())
    for name, value in ours.state_dict().items():
        assert (again.state_dict()[name].array == value.array).all()
    again.load_state_dict(mytorch.load(tmp_path / "weights.npz"))
    assert again.norm.num_batches_tracked.array.dtype == np.int64


def test_running_statistics_are_not_parameters():
    layer = nn.BatchNorm2d(2)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert [name for name, _ in layer.named_buffers()] == ["running_mean", "running_var", "num_batches_tracked"]
    assert not any(buffer.requires_grad for _, buffer in layer.named_buffers())


def test_running_statistics_follow_torchs():
    random, ours, theirs = np.random.default_rng(0), nn.BatchNorm2d(3).double(), torch.nn.BatchNorm2d(3).double()
    for _ in range(3):
        images = random.normal(2, 3, size=(4, 3, 2, 5))
        results = ours(mytorch.tensor(images)).array, theirs(torch.from_numpy(images)).detach().numpy()
        np.testing.assert_allclose(*results, rtol=1e-10, atol=1e-10)
    ours.eval()(mytorch.tensor(images))
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name].array, value.numpy(), rtol=1e-12)
    assert ours.num_batches_tracked.item() == 3


@pytest.mark.parametrize(("layer", "fan_in"), [(("Linear", 50, 400), 50), (("Conv2d", 6, 90, (5, 3)), 90)])
def test_initial_weights_are_distributed_as_torchs(layer, fan_in):
    mytorch.manual_seed(1)
    torch.manual_seed(1)
    name, *arguments = layer
    ours, theirs = getattr(nn, name)(*arguments), getattr(torch.nn, name)(*arguments)
    for one, other in ((ours.weight, theirs.weight), (ours.bias, theirs.bias)):
        for values in (one.array, other.detach().numpy()):
            assert np.abs(values).max() <= fan_in**-0.5
            assert np.abs(values).max() > 0.95 * fan_in**-0.5
            assert values.std() == pytest.approx((3 * fan_in) ** -0.5, rel=0.15)
    mytorch.manual_seed(1)
    assert (getattr(nn, name)(*arguments).weight.array == ours.weight.array).all()


def test_dropout_keeps_the_mean_and_does_nothing_in_evaluation():
    mytorch.manual_seed(0)
    layer, x = nn.Dropout(0.25), mytorch.ones(200, 200, requires_grad=True)
    result = layer(x)
    assert np.unique(result.array) == pytest.approx([0, 4 / 3])
    assert result.mean().item() == pytest.approx(1, abs=0.01)
    result.sum().backward()
    assert (x.grad.array == result.array).all()
    assert layer.eval()(x) is x
    assert not nn.Dropout(1.0)(x).array.any()


def test_modes_reach_all_modules_and_gradients_are_forgotten():
    model = make_network(mytorch).eval()
    assert not any(module.training for module in model.modules())
    assert all(module.training for module in model.train().modules())
    model(mytorch.ones(2, 3, 4, 4)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_shared_parameter_is_trained_once_and_saved_under_both_names():
    first, second = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    second.weight = first.weight
    model = nn.Sequential(first, second)
    assert len(list(model.parameters())) == 1
    assert list(model.state_dict()) == ["0.weight", "1.weight"]
    assert (len(model), model[1]) == (2, second)


def test_losses_are_modules_too():
    x = mytorch.tensor([[1.0, 2.0]])
    assert nn.MSELoss()(x, x + 2).item() == 4
    assert nn.CrossEntropyLoss()(x, mytorch.tensor([1])).item() == pytest.approx(np.log1p(np.exp(-1.0)))


def test_modules_take_arguments_by_name():
    class Scaled(nn.Module):
        def forward(self, x, *, scale=1):
            return x * scale

    assert Scaled()(mytorch.ones(1), scale=3).item() == 3


def test_what_is_no_module_is_refused_in_a_sequence():
    with pytest.raises(TypeError, match="this cannot stand in Sequential: got <function relu"):
        nn.Sequential(nn.Linear(2, 2), nn.functional.relu)


@pytest.mark.parametrize("lib", [nn, torch.nn])
def test_lenet_says_which_images_are_too_small(lib):
    with pytest.raises(ConfigError, match="got 11; expected at least 12 pixels a side"):
        lenet(lib, image_size=11)
    assert lenet(lib, image_size=12)[3][0].weight.shape == (120, 16)


def test_any_names_and_only_numbers_are_saved(tmp_path):
    path = tmp_path / "weights.npz"
    with pytest.raises(ValueError, match="epochs holds no numbers but object"):
        mytorch.save({"epochs": None}, path)
    assert not path.exists()
    named = {"file": np.ones(2), "allow_pickle": np.ones((0, 3), dtype=np.float32), "a/b.c": np.array(True)}
    mytorch.save(named, path)
    loaded = mytorch.load(path)
    assert list(loaded) == list(named)
    for name, array in named.items():
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
        assert (loaded[name].array == array).all()


def test_a_state_dict_of_another_model_is_refused_whole():
    model = nn.Linear(2, 3)
    before = model.weight.array.copy()
    with pytest.raises(CheckpointError, match=r"without \['bias'\], with \['scale'\]"):
        model.load_state_dict({"weight": np.zeros((3, 2)), "scale": np.zeros(1)})
    with pytest.raises(CheckpointError, match=r"bias has another shape: got \[2\]; expected \[3\]"):
        model.load_state_dict({"weight": np.zeros((3, 2)), "bias": np.zeros(2)})
    assert (model.weight.array == before).all()


def zip_of(content, compression=zipfile.ZIP_STORED):
    """Writes an npz file of one array with these bytes."""

    def write(path):
        with zipfile.ZipFile(path, "w", compression) as file:
            file.writestr("weight.npy", content)

    return write


def npy(header):
    """The bytes of an array whose header says so."""
    return b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)


def damaged(path):
    """Compressed bytes that are none."""
    zip_of(bytes(10_000), zipfile.ZIP_DEFLATED)(path)
    content = bytearray(path.read_bytes())
    content[40:44] = b"\xff" * 4
    path.write_bytes(content)


def in_another_way(path):
    """Bytes compressed in a way that nobody knows."""
    zip_of(b"")(path)
    content = bytearray(path.read_bytes())
    for start, place in ((b"PK\1\2", 10), (b"PK\3\4", 8)):
        content[content.index(start) + place] = 77
    path.write_bytes(content)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: None,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PK\3\4 cut short"),
        lambda path: np.savez(path, weight=np.array([{}], dtype=object)),
        lambda path: np.save(path.open("wb"), np.zeros(2)),
        zip_of(b"no array"),
        zip_of(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000000,), }")),
        zip_of(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }")),
        zip_of(npy("{'descr': (")),
        zip_of(npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }")),
        zip_of(npy("(" * 5000)),
        damaged,
        in_another_way,
    ],
)
def test_what_is_no_npz_file_of_arrays_is_refused(tmp_path, write):
    path = tmp_path / "weights.npz"
    write(path)
    with pytest.raises(CheckpointError, match=r"weights\.npz cannot be loaded: got .+; expected an npz file of arrays"):
        mytorch.load(path)
