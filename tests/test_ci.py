"""What CI runs fails where tests would be skipped."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BROWSER = ("chromium", "chromedriver")


@pytest.mark.parametrize("present", [(), BROWSER[:1], BROWSER[1:], BROWSER])
def test_without_a_browser_ci_fails_before_anything_is_installed(tmp_path: Path, present: tuple[str, ...]):
    (tmp_path / "dirname").symlink_to(shutil.which("dirname"))
    for name in (*present, "python3", "mktemp"):
        script = tmp_path / name
        script.write_text("#!/bin/sh\necho begun\nexit 7\n")
        script.chmod(0o755)
    run = subprocess.run(
        ["/bin/bash", ROOT / ".ci" / "run"], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    complained = "no chromium and chromedriver" in run.stdout
    assert (run.returncode, complained) == ((7, False) if present == BROWSER else (1, True))
