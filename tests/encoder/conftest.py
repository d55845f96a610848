"""Weights made here in the place of the shipped ones, and a governor that runs on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from aigov.encoder import weights
from aigov.encoder.engine import Engine
from aigov.encoder.readers import Readers
from aigov.testing import Trial, governor
from tests.encoder.small import write_weights

Govern = Callable[..., AbstractContextManager[Trial]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small weights."""
    made = tmp_path_factory.mktemp("encoder") / "weights"
    write_weights(made)
    return made


@pytest.fixture(scope="session")
def engine(folder: Path) -> Engine:
    """The engine over them, telling every type."""
    return weights.loaded(folder, write_weights(folder))


@pytest.fixture(scope="session")
def readers(engine: Engine) -> Readers:
    """Readers of one policy over the engine."""
    return Readers([engine], 2)


@pytest.fixture(scope="session")
def govern(folder: Path) -> Govern:
    """`govern("enabled: true", change={...})`: a governor whose encoder runs on small weights."""

    @contextmanager
    def made(encoder: str = "enabled: true", change: dict[str, str] | None = None) -> Iterator[Trial]:
        own = {"encoder:  ": f"encoder: {{{encoder}}}  # ", "  enabled: true  ": "  # "}
        with ExitStack() as stack:
            with pytest.MonkeyPatch.context() as patched:  # weights are loaded when a policy is
                patched.setattr(weights, "FOLDER", folder)
                patched.setattr(weights, "CARD", write_weights(folder))
                trial = stack.enter_context(governor(change={**own, **(change or {})}))
            yield trial

    return made


@pytest.fixture(scope="session")
def small(govern: Govern) -> Iterator[Trial]:
    """A governor on small weights for tests that change nothing of it."""
    with govern() as trial:
        yield trial
