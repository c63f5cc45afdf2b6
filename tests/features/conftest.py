"""What every test of the extraction starts from."""

import pytest
from extraction import Setting


@pytest.fixture
def setting(tmp_path) -> Setting:
    return Setting(tmp_path)
