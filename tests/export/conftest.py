import pytest

from tests.warm_process import warm_processes


@pytest.fixture
def warm():
    """Checks of exports run in processes that have imported TensorFlow already."""
    with warm_processes():
        yield
