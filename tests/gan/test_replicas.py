"""Several processes of torchrun train one generator: equal networks, one that writes, one stop for all."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_main_gan import CONFIG, ROOT, TINY, refused

import main_gan
from finegrain.engine.checkpoint import read_state
from finegrain.replicas import ALONE, Replicas, join

DRIVER = """
import os, signal, sys
import torch
import main_gan
from finegrain.gan.trainer import GeneratorTrainer
rank, stop = int(os.environ["RANK"]), int(os.environ["STOP"])
take_step = GeneratorTrainer._take_step
def watched(self, images):
    take_step(self, images)
    if rank == 1 and self.progress.step == stop:
        os.kill(os.getpid(), signal.SIGTERM)
    torch.save(self.method.state(), os.path.join(os.environ["SEEN"], f"{rank}.pt"))
GeneratorTrainer._take_step = watched
sys.exit(main_gan.main(sys.argv[1:]))
"""


def together(out: Path, seen: Path, *words: str, stop: int = 0) -> list[int]:
    """Exit codes of two processes as torchrun starts them; `stop`: the step after which the second gets a signal."""
    seen.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "SEEN": str(seen), "STOP": str(stop)}
    line = [sys.executable, "-c", DRIVER, "--config", CONFIG, "--out", str(out), *TINY, *words]
    started = [
        subprocess.Popen(
            line, cwd=ROOT, env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank}, stdout=subprocess.PIPE
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate(timeout=240)[0] for process in started]
    assert said[1] == b""
    return [process.returncode for process in started]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(max((run / "checkpoints").glob("latest-*")) / "state.safetensors")


def test_two_processes_keep_equal_networks_and_go_on_from_a_stop_of_one(tmp_path: Path) -> None:
    words = ["train.steps=3", "train.evaluate_steps=3", "loss.lecam=0.1"]
    assert together(tmp_path / "whole", tmp_path / "seen", *words) == [0, 0]
    first, second = (torch.load(tmp_path / "seen" / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for name in ("generator", "discriminator"):
        for key, tensor in first[name]["network"].items():
            assert torch.equal(tensor, second[name]["network"][key]), key
    assert torch.equal(first["lecam"], second["lecam"])
    assert (tmp_path / "whole" / "report.html").exists()
    assert together(tmp_path / "cut", tmp_path / "seen", *words, stop=1) == [143, 143]
    (saved,) = (tmp_path / "cut" / "checkpoints").glob("latest-*")
    identity = json.loads((saved / "state.json").read_text())["identity"]
    assert read_state(saved, identity=identity)["progress"]["step"] == 1
    assert together(tmp_path / "cut", tmp_path / "seen", *words, "--resume") == [0, 0]
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_the_second_process_has_images_and_noise_of_its_own() -> None:
    batch = torch.arange(7)
    shares = [Replicas(rank=rank, count=3).share(batch).tolist() for rank in range(3)]
    assert sorted(number for share in shares for number in share) == batch.tolist()
    assert Replicas(rank=2, count=3).share(batch[:2]).tolist() == [0, 1]
    assert torch.equal(ALONE.share(batch), batch)


def test_alone_nothing_is_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join() == ALONE
    tensor = torch.tensor([1.0])
    ALONE.average([tensor])
    assert tensor.item() == 1
    assert ALONE.largest(signal.SIGTERM, tensor.device) == signal.SIGTERM
    assert ALONE.as_first({"a": 0.1}, tensor.device) == {"a": 0.1}


def test_all_processes_need_one_directory(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "torchrun without --out" in refused(capsys, main_gan.main(["--config", CONFIG]))
