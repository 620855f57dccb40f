"""Where searches are remembered: a journal file, a database, or Optuna's gRPC proxy of one."""

from __future__ import annotations

import logging
import os
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.provenance import without_passwords
from torchmomentum.experiments.errors import UsageError, first_line

_log = logging.getLogger(__name__)
_JOURNAL = "trials.journal"
_GRPC, _PORT = "grpc", 13000
_WAIT = 60  # seconds for a file that another process writes to
_TRIES, _PAUSE = 5, 0.5  # of opening a database; seconds between


def journal_of(place: Place) -> str:
    """The journal beside the runs, where no other storage is named."""
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
    except Exception as error:
        if not _is_optunas(error):
            raise
        shown = without_passwords(where)
        raise UsageError(
            f"storage {shown} failed: {first_line(error)}; give --resume once it is mended"
        ) from error
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
            options: dict[str, Any] = {"pool_pre_ping": True}
            if scheme == "sqlite":
                options["connect_args"] = {"timeout": _WAIT}
            return storages.RDBStorage(where, engine_kwargs=options)
        _drop_what_was_cut_off(where, storages.journal.JournalFileSymlinkLock(where))
        return storages.JournalStorage(storages.journal.JournalFileBackend(where))
    except Exception as error:  # whatever a database's driver raises
        shown = without_passwords(where)
        raise UsageError(f"storage {shown} cannot be opened: {first_line(error)}") from error


def _is_optunas(error: Exception) -> bool:
    """Whether an error came up in Optuna, which calls nothing of ours."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__", "").startswith("optuna.") for frame, _ in frames)


def _drop_what_was_cut_off(where: str, lock: Any) -> None:
    """Removes the last line of a journal that a full disk or a kill has cut off."""
    path = Path(where)
    if _is_whole(path):
        return
    lock.acquire()
    try:
        if not _is_whole(path):
            with path.open("rb+") as file:
                file.truncate(path.read_bytes().rfind(b"\n") + 1)
            _log.warning("storage %s: its last line was cut off, and is dropped", where)
    finally:
        lock.release()


def _is_whole(path: Path) -> bool:
    if not path.is_file() or not path.stat().st_size:
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _proxy(optuna: Any, where: str) -> Any:
    found = urlsplit(where)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # it is all there is
        storage = optuna.storages.GrpcStorageProxy(
            host=found.hostname or "localhost", port=found.port or _PORT
        )
    storage.wait_server_ready(timeout=10)
    return storage
