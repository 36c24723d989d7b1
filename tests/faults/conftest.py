from collections.abc import Iterator

import pytest

from faults.shimmed import Shimmed, compiled


@pytest.fixture(scope="session")
def shimmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shimmed]:
    with Shimmed(compiled(tmp_path_factory.mktemp("shim"))) as found:
        yield found
