"""Shared by the tests of evaluation."""

import pytest


@pytest.fixture(scope="session")
def wrap():
    """Function that puts a model with logits and maps into a wrapper."""
    from kerasloc.localizers import MapLocalizer

    def wrap(model, network, wrapper=MapLocalizer):
        localizer = object.__new__(wrapper)
        localizer._start(model, network)
        return localizer

    return wrap
