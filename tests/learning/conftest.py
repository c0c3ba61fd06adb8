import pytest
from trainings import squares

from pipeline.learning.fit import Parts
from pipeline.learning.settings import Train
from pipeline.settings import Params


@pytest.fixture(scope="session")
def parts() -> Parts:
    return squares()


@pytest.fixture
def train(settings: Params) -> Train:
    pace = {"learning_rate": 0.003, "reduce_patience": 2, "min_delta": 0.005}
    return settings.train.model_copy(update={"max_epochs": 6, "batch_size": 16, "patience": 6, "average": 0, **pace})
