"""What the tests of all scripts need."""

import pytest

from kerasloc.training import cli


@pytest.fixture
def main(request, script, tmp_path, monkeypatch):
    """The main of the script that a file tests, in a folder with nothing in it."""
    monkeypatch.chdir(tmp_path)
    return script(request.path.stem.removeprefix("test_")).main


@pytest.fixture
def failure(main):
    """Function from words to what the script says when it fails."""

    def fail(*words):
        with pytest.raises(SystemExit) as end:
            cli.run_main(lambda: main([str(word) for word in words]))
        assert end.value.code.startswith("error: ")
        return end.value.code

    return fail
