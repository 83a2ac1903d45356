import subprocess
import sys

import pytest

import kerasloc.data


def test_every_public_name_is_there():
    for name in kerasloc.data.__all__:
        assert getattr(kerasloc.data, name) is not None
    assert set(kerasloc.data.__all__) <= set(dir(kerasloc.data))


def test_importing_brings_no_tensorflow():
    code = (
        "import sys, kerasloc.data as data; data.read_folders; data.read_image; "
        "sys.exit('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0


def test_an_unknown_name_is_an_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kerasloc.data.nothing
