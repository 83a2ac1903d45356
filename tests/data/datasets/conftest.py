"""Writers of the small files that datasets consist of."""

import json

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def put():
    """Function that writes an image, or text or json, and the folders of its path."""

    def write(path, content=None, size=(512, 256)):
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            Image.new("L", size).save(path)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, encoding="utf-8")
        return path

    return write
