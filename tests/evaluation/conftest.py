"""Shared by the tests of evaluation."""

import csv

import pytest


@pytest.fixture(scope="session")
def wrap():
    """Function that puts a model with logits and maps into a wrapper."""
    from kerasloc.localizers import MapLocalizer

    def wrap(model, network, wrapper=MapLocalizer):
        localizer = object.__new__(wrapper)
        localizer._hold(model, network)
        return localizer

    return wrap


@pytest.fixture(scope="session")
def read():
    """Function from the path of a csv file to its rows."""

    def read(path):
        with open(path, newline="") as file:
            return list(csv.DictReader(file))

    return read
