"""Where searches are remembered: a journal file, a database, or Optuna's gRPC proxy of one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from torchmomentum.experiments.errors import UsageError

JOURNAL = "trials.journal"  # beside the runs, where no storage is named
_GRPC, _PORT = "grpc", 13000


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
    optuna = _import_optuna()
    storages = optuna.storages
    scheme = urlsplit(where).scheme if "://" in where else ""
    try:
        if scheme == _GRPC:
            return _proxy(optuna, where)
        if scheme:
            return storages.RDBStorage(where, engine_kwargs={"pool_pre_ping": True})
        Path(where).parent.mkdir(parents=True, exist_ok=True)
        return storages.JournalStorage(storages.journal.JournalFileBackend(where))
    except Exception as error:  # whatever a database's driver raises
        words = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"storage {_shown(where)} cannot be opened: {words}") from error


def _proxy(optuna: Any, where: str) -> Any:
    found = urlsplit(where)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # it is all there is
        storage = optuna.storages.GrpcStorageProxy(
            host=found.hostname or "localhost", port=found.port or _PORT
        )
    storage.wait_server_ready(timeout=10)
    return storage


def _shown(where: str) -> str:
    """An address without its password."""
    if "://" not in where:
        return where
    password = urlsplit(where).password
    return where.replace(f":{password}@", ":***@") if password else where
