"""Listening: on this machine alone unless told otherwise, and nowhere else without keys.

What a server says on its own is left out: uvicorn's access log has query strings and its error log
the messages of exceptions. One line a request comes from `access.py`, on stderr.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from excise.desk.console.settings import LOOPBACK, Settings
from excise.records.errors import InputError

ENDING = 3  # seconds that open pages and live streams have when the console is stopped


@dataclass(frozen=True)
class Listening:
    """Where and how to listen."""

    host: str = "127.0.0.1"
    port: int = 8017
    names: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    proxy: str | None = None

    @property
    def tls(self) -> bool:
        """Whether browsers come by HTTPS, from here or from the proxy."""
        return self.tls_cert is not None or self.proxy is not None

    def hosts(self) -> tuple[str, ...]:
        """The names that are answered to.

        Raises:
            InputError: it listens at every address and was given no name.
        """
        if self.names:
            return (*self.names, *LOOPBACK)
        if _is_any(self.host):
            raise InputError("--name: missing, expected what browsers will call this console by")
        own = f"[{self.host}]" if ":" in self.host else self.host
        return tuple(dict.fromkeys((own, *LOOPBACK)))


def run(
    listening: Listening,
    url: str | None = None,
    *,
    folder: Path | None = None,
    key_file: Path | None = None,
    say: Callable[[str], None],
) -> None:
    """Serve until interrupted.

    Raises:
        InputError: the ledger cannot be opened, the place is taken or not ours, only one of
            certificate and key is given, or there are no keys and others could reach it.
    """
    import uvicorn

    from excise.desk.console.app import create_app

    if (listening.tls_cert is None) != (listening.tls_key is None):
        raise InputError("--tls-cert: expected together with --tls-key")
    for path in (listening.tls_cert, listening.tls_key):
        if path is not None and not path.is_file():
            raise InputError(f"{path}: no such file, expected one in PEM")
    settings = Settings(hosts=listening.hosts(), tls=listening.tls)
    app = create_app(url, settings, folder=folder, key_file=key_file)
    ledger = app.state.console.ledger
    keys = ledger.keys()
    any_keys = any(not key.revoked for key in keys)
    if not any_keys and (not is_loopback(listening.host) or listening.proxy):
        ledger.close()
        raise InputError(
            f"--host {listening.host}: there are no keys, expected one before others can reach the "
            'console (excise desk key add "privacy office" --role officer)'
        )
    listener = _listener(listening.host, listening.port)
    _log_to_stderr()
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=listening.proxy is not None,
        forwarded_allow_ips=listening.proxy,
        timeout_graceful_shutdown=ENDING,
        ssl_certfile=listening.tls_cert,
        ssl_keyfile=listening.tls_key,
    )
    place = f"[{listening.host}]" if ":" in listening.host else listening.host
    scheme = "https" if listening.tls_cert else "http"
    say(f"console: {scheme}://{place}:{listener.getsockname()[1]}/")
    if not any_keys:
        say('no keys yet: excise desk key add "privacy office" --role officer')

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.state.console.ending = True
            super().handle_exit(sig, frame)

    with suppress(KeyboardInterrupt):  # uvicorn ends well and then passes the signal on
        Server(config).run(sockets=[listener])


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return not host


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(where[:2], family=family, backlog=128)
    except OSError as error:
        raise InputError(
            f"--host {host} --port {port}: cannot listen there ({error.strerror})"
        ) from None


def _log_to_stderr() -> None:
    log = logging.getLogger("excise.desk")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(handler)
        log.propagate = False
    log.setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
