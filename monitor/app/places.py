"""Where things are kept and found: data directory, database, backups, the signing key, the pages."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from config import Settings
from monitor.errors import ConfigError


def storage_url(settings: Settings) -> str:
    url = settings.storage.url.get_secret_value()
    return url or f"sqlite:///{settings.data_dir.absolute() / 'monitor.db'}"


def backup_directory(settings: Settings) -> Path:
    return Path(settings.backup.directory) if settings.backup.directory else settings.data_dir / "backups"


def web_address(chosen: Settings) -> str:
    """Where the pages are: the public address, else this machine."""
    return chosen.web.base_url.strip().rstrip("/") or f"http://{local_server(chosen)}"


def local_server(chosen: Settings) -> str:
    """host:port at which this machine reaches the web server."""
    web = chosen.web
    host = "127.0.0.1" if web.host in {"0.0.0.0", "::"} else web.host  # noqa: S104
    return f"{host}:{web.port}"


def make_data_dir(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        raise ConfigError(
            f"the data directory {path} cannot be made ({error.strerror}); set MONITOR_DATA_DIR"
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"the data directory {path} is not writable for user {os.geteuid()}; set MONITOR_DATA_DIR")


def secret_key(chosen: Settings) -> str:
    """The signing key: as set, or made once and kept where only we may read it."""
    if given := chosen.secret_key.get_secret_value():
        return given
    path = chosen.data_dir / "secret.key"
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48), encoding="ascii")
        with contextlib.suppress(FileExistsError):  # another process was first: its key counts
            os.link(draft, path)
        draft.unlink()
    key = path.read_text(encoding="ascii").strip()
    if not key:
        raise ConfigError(f"{path} is empty; delete it (old links in mail will end) or set MONITOR_SECRET_KEY_FILE")
    return key
