"""What tests of maps share."""

import pytest


@pytest.fixture
def op_by_op(request):
    """Without graphs, which take longer to make than to run once; not for all."""
    if request.node.get_closest_marker("graphs"):
        yield
        return
    import tensorflow as tf

    request.getfixturevalue("eager")
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
