"""Where searches are remembered: a journal file, a database, or Optuna's gRPC proxy of one."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.provenance import without_passwords
from torchmomentum.experiments.errors import UsageError

_JOURNAL = "trials.journal"
_GRPC, _PORT = "grpc", 13000
_TRIES, _PAUSE = 5, 0.5  # of opening a database; seconds between


def journal_of(place: Place) -> str:
    """The journal beside the runs, where no other storage is named."""
    place.runs.mkdir(parents=True, exist_ok=True)
    return str(place.runs / _JOURNAL)


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UsageError("optuna is missing: pip install 'torchmomentum[experiments]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@contextmanager
def opened(where: str) -> Iterator[Any]:
    """Has Optuna's storage at a place, and closes what it held open.

    Args:
        where: ``postgresql://...``, ``mysql://...`` or ``sqlite:///FILE`` for a database,
            ``grpc://HOST:PORT`` for a proxy, else the file of a journal.

    Raises:
        UsageError: It cannot be opened.
    """
    storage = _open(where)
    try:
        yield storage
    finally:
        if hasattr(storage, "engine"):  # a database's
            storage.remove_session()
            storage.engine.dispose()
        elif hasattr(storage, "close"):  # a proxy's
            storage.close()


def _open(where: str) -> Any:
    tries = _TRIES if "://" in where and not where.startswith(_GRPC) else 1
    while True:
        try:
            return _opened(where)
        except UsageError:
            tries -= 1
            if not tries:
                raise
            time.sleep(_PAUSE)  # another worker may be making the tables at this moment


def _opened(where: str) -> Any:
    optuna = _import_optuna()
    storages = optuna.storages
    scheme = urlsplit(where).scheme if "://" in where else ""
    if where.rstrip("/") == "sqlite:" or not where:
        raise UsageError(f"storage must be one that stays, sqlite:///FILE, got {where!r}")
    if not scheme and not Path(where).parent.is_dir():
        raise UsageError(f"storage {where}: there is no folder {Path(where).parent}")
    try:
        if scheme == _GRPC:
            return _proxy(optuna, where)
        if scheme:
            return storages.RDBStorage(where, engine_kwargs={"pool_pre_ping": True})
        return storages.JournalStorage(storages.journal.JournalFileBackend(where))
    except Exception as error:  # whatever a database's driver raises
        words = (str(error) or type(error).__name__).splitlines()[0]
        shown = without_passwords(where)
        raise UsageError(f"storage {shown} cannot be opened: {words}") from error


def _proxy(optuna: Any, where: str) -> Any:
    found = urlsplit(where)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # it is all there is
        storage = optuna.storages.GrpcStorageProxy(
            host=found.hostname or "localhost", port=found.port or _PORT
        )
    storage.wait_server_ready(timeout=10)
    return storage
