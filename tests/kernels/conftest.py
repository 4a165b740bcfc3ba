"""Every kernel test runs once for each CPU level of this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastnn.kernels import levels


@pytest.fixture(params=levels.levels(), autouse=True)
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """The CPU level in use, by name."""
    before = levels.level()
    levels.use(request.param)
    yield request.param
    levels.use(before)
