import logging
import os
import pickle
import zipfile

import pytest
import safetensors.torch
import timm
import torch
from timm.layers import resample_abs_pos_embed
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from finegrain.errors import WeightsError
from finegrain.models.tensors import digest, fit, read_tensors


def tiny(num_classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, num_classes))


@pytest.fixture
def state():
    torch.manual_seed(1)
    return tiny().state_dict()


def same(network: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s, "epoch": 3}, lambda s: {"state_dict": s}])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "backbone.", "_orig_mod.module."])
def test_wrapped_and_prefixed_checkpoints_load(tmp_path, state, wrap, prefix):
    path = tmp_path / "net.pth"
    torch.save(wrap({prefix + name: tensor for name, tensor in state.items()}), path)
    network = tiny()
    fit(network, read_tensors(path), head="3", source="net")
    assert same(network, state)


def test_averaged_weights_are_preferred(tmp_path, state, caplog):
    zeros = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    torch.save({"state_dict": zeros, "state_dict_ema": state}, tmp_path / "net.pt")
    with caplog.at_level(logging.INFO):
        tensors = read_tensors(tmp_path / "net.pt")
    assert torch.equal(tensors["3.weight"], state["3.weight"])
    assert "state_dict_ema" in caplog.text


def test_safetensors_and_the_old_pickle_format_load(tmp_path, state):
    safetensors.torch.save_file(state, tmp_path / "net.safetensors")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("net.safetensors", "old.pth"):
        assert same(tiny(), {**tiny().state_dict()}) is False
        network = tiny()
        fit(network, read_tensors(tmp_path / name), head="3", source=name)
        assert same(network, state)


class Malicious:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", ["zip", "legacy", "raw"])
def test_malicious_pickles_are_refused_and_never_run(tmp_path, state, kind, nested):
    canary, path = tmp_path / "canary", tmp_path / "net.pth"
    content = {"state_dict": state, "optimizer": {"x": Malicious(canary)}} if nested else Malicious(canary)
    if kind == "raw":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(WeightsError, match=r"cannot be read as weights"):
        read_tensors(path)
    assert not canary.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_truncated_files_are_refused(tmp_path, state, suffix):
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"net{suffix}"
    (safetensors.torch.save_file if suffix == ".safetensors" else torch.save)(state, whole)
    content = whole.read_bytes()
    for length in range(1, len(content) - 1, len(content) // 40):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="cannot be read as weights"):
            read_tensors(path)


def test_nothing_empty_and_folder(tmp_path):
    (tmp_path / "empty.pth").touch()
    for name, state in (("no.pth", "nothing"), ("empty.pth", "an empty file"), ("", "a folder")):
        with pytest.raises(WeightsError, match=rf"no weights file here: got .*{state}"):
            read_tensors(tmp_path / name)


def test_a_flipped_bit_in_a_checkpoint_is_found_by_its_checksum(tmp_path, state):
    path = tmp_path / "net.pth"
    torch.save(state, path)
    content = bytearray(path.read_bytes())
    content[content.find(state["3.weight"].numpy().tobytes()) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="checksum"):
        read_tensors(path)


def test_a_flipped_bit_in_safetensors_is_found_by_the_digest(tmp_path, state):
    path = tmp_path / "net.safetensors"
    safetensors.torch.save_file(state, path)
    (tmp_path / "SHA256").write_text(f"{'0' * 64}  other.bin\n{digest(path)}  net.safetensors\n")
    assert read_tensors(path).keys() == state.keys()
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    with pytest.raises(WeightsError, match="SHA-256"):
        read_tensors(path)
    with pytest.raises(WeightsError, match="damaged or was changed"):
        read_tensors(path, sha256="ab" * 32)


def test_compressed_checkpoints_are_refused_unread(tmp_path, state):
    torch.save(state, tmp_path / "net.pth")
    bomb = tmp_path / "bomb.pth"
    with zipfile.ZipFile(tmp_path / "net.pth") as old, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
    with pytest.raises(WeightsError, match="compressed"):
        read_tensors(bomb)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"a": torch.zeros(1), "b": 2}, torch.zeros(2)])
def test_checkpoints_of_anything_else_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="dictionary of tensors"):
        read_tensors(tmp_path / "net.pth")


def test_a_head_of_another_size_is_dropped_and_said_so(state, caplog):
    network = tiny(num_classes=7)
    fresh = network[3].weight.clone()
    with caplog.at_level(logging.INFO):
        fit(network, state, head="3", source="net.pth")
    assert torch.equal(network[3].weight, fresh)
    assert torch.equal(network[0].weight, state["0.weight"])
    assert "net.pth: the head starts anew; dropped: 3.bias [3], 3.weight [3, 4]" in caplog.text
    with pytest.raises(WeightsError, match="another shape"):
        fit(network, state, head="3", source="net.pth", new_head=False)


def test_any_other_difference_is_refused(state):
    for change, message in (
        ({"0.weight": torch.zeros(4, 3, 3, 3)}, r"1 of another shape: 0.weight \[4, 3, 3, 3\] for \[4, 3, 1, 1\]"),
        ({"0.weight": None}, "1 missing: 0.weight"),
        ({"neck.weight": torch.zeros(2)}, "1 unexpected: neck.weight"),
        ({f"extra{i}": torch.zeros(1) for i in range(14)}, "14 unexpected: .* and 4 more"),
    ):
        tensors = {name: tensor for name, tensor in {**state, **change}.items() if tensor is not None}
        with pytest.raises(WeightsError, match=message):
            fit(tiny(), tensors, head="3", source="net.pth")


def test_checkpoints_from_before_batch_counters_load(state):
    del state["1.num_batches_tracked"]
    fit(tiny(), state, head="3", source="net")


def torchvision_vit(image_size: int) -> VisionTransformer:
    return VisionTransformer(image_size, 16, 1, 2, 8, 16, num_classes=3)


def test_position_embeddings_are_resampled_as_torchvision_does(caplog):
    old, new = torchvision_vit(64), torchvision_vit(96)
    with caplog.at_level(logging.INFO):
        fit(new, old.state_dict(), head="heads.head", source="vit")
    expected = interpolate_embeddings(96, 16, old.state_dict())["encoder.pos_embedding"]
    assert torch.equal(new.encoder.pos_embedding, expected)
    own = torchvision_vit(96)
    own.load_state_dict(interpolate_embeddings(96, 16, old.state_dict()))
    images = torch.randn(2, 3, 96, 96)
    assert torch.equal(new.eval()(images), own.eval()(images))
    assert "resampled encoder.pos_embedding from [1, 17, 8] to [1, 37, 8]" in caplog.text


def test_position_embeddings_are_resampled_as_timm_does():
    old = timm.create_model("test_vit", img_size=64, num_classes=3)
    new = timm.create_model("test_vit", img_size=96, num_classes=3)
    fit(new, old.state_dict(), head="head", source="vit")
    assert torch.equal(new.pos_embed, resample_abs_pos_embed(old.pos_embed, [6, 6], num_prefix_tokens=1))


def test_position_embeddings_of_no_square_are_refused():
    tensors = torchvision_vit(64).state_dict() | {"encoder.pos_embedding": torch.zeros(1, 12, 8)}
    with pytest.raises(WeightsError, match="cannot be resampled"):
        fit(torchvision_vit(96), tensors, head="heads.head", source="vit")


def test_torchvision_vit_files_with_their_old_layer_names_load():
    network = torchvision_vit(64)
    old = {name.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): tensor
           for name, tensor in network.state_dict().items()}  # fmt: skip
    assert old.keys() != network.state_dict().keys()
    copy = torchvision_vit(64)
    fit(copy, old, head="heads.head", source="vit")
    assert same(copy, network.state_dict())


def test_densenet_files_with_their_old_layer_names_load():
    from torchvision.models import DenseNet

    network = DenseNet(growth_rate=4, block_config=(1, 1), num_init_features=4, num_classes=2)
    old = {name.replace("norm1", "norm.1").replace("conv2", "conv.2"): t for name, t in network.state_dict().items()}
    copy = DenseNet(growth_rate=4, block_config=(1, 1), num_init_features=4, num_classes=2)
    fit(copy, old, head="classifier", source="densenet")
    assert same(copy, network.state_dict())
