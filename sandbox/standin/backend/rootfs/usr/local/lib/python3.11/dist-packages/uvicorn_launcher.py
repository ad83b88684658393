"""A `uvicorn` command with the options of the current release on top of Debian's 0.17.

The real image carries a current uvicorn (contract 1.2, 10). Debian's lacks
`--timeout-graceful-shutdown`, networks in `--forwarded-allow-ips`, and takes the wrong
element of X-Forwarded-For when several proxies are trusted. Only these differences are
written here; the server, its protocols and its event loop are the packaged ones.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import os
import sys
import time
from typing import Any

from uvicorn import Config, Server
from uvicorn.config import LOGGING_CONFIG
from uvicorn.supervisors import Multiprocess

logger = logging.getLogger("uvicorn.error")

STARTUP_FAILURE = 3


class TrustedHosts:
    """The peers whose forwarding headers are believed: addresses, networks and literals."""

    def __init__(self, value: str) -> None:
        self.always = value.strip() == "*"
        self.hosts: set[ipaddress.IPv4Address | ipaddress.IPv6Address] = set()
        self.networks: set[ipaddress.IPv4Network | ipaddress.IPv6Network] = set()
        self.literals: set[str] = set()
        for item in (part.strip() for part in value.split(",")):
            if not item:
                continue
            try:
                if "/" in item:
                    self.networks.add(ipaddress.ip_network(item))
                else:
                    self.hosts.add(ipaddress.ip_address(item))
            except ValueError:
                self.literals.add(item)

    def __contains__(self, host: str | None) -> bool:
        if self.always:
            return True
        if not host:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return host in self.literals
        return address in self.hosts or any(address in network for network in self.networks)

    def client_of(self, forwarded_for: str) -> str:
        """Returns the right-most element that is not a trusted proxy, else the left-most."""
        hosts = [part.strip() for part in forwarded_for.split(",")]
        if self.always:
            return hosts[0]
        for host in reversed(hosts):
            if host not in self:
                return host
        return hosts[0]


class ProxyHeaders:
    """Replaces scheme and client of a request that arrives from a trusted peer."""

    def __init__(self, app: Any, trusted: str) -> None:
        self.app = app
        self.trusted = TrustedHosts(trusted)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            peer = scope.get("client")
            if (peer[0] if peer else None) in self.trusted:
                headers = dict(scope["headers"])
                proto = headers.get(b"x-forwarded-proto", b"").decode("latin1").strip()
                if proto in ("http", "https", "ws", "wss"):
                    scope["scheme"] = proto
                forwarded_for = headers.get(b"x-forwarded-for", b"").decode("latin1")
                if forwarded_for:
                    host = self.trusted.client_of(forwarded_for)
                    if host:
                        scope["client"] = (host, 0)
        await self.app(scope, receive, send)


class LauncherConfig(Config):
    """The packaged configuration with the header handling above instead of its own."""

    def __init__(self, app: str, trusted: str | None, graceful: int | None, **kwargs: Any) -> None:
        super().__init__(app, proxy_headers=False, **kwargs)
        self.trusted = trusted
        self.graceful = graceful

    def load(self) -> None:
        super().load()
        if self.trusted is not None:
            self.loaded_app = ProxyHeaders(self.loaded_app, self.trusted)


class DrainingServer(Server):
    """On SIGTERM: stop accepting, let requests in flight finish, cancel them after the limit."""

    async def shutdown(self, sockets: Any = None) -> None:
        graceful = self.config.graceful
        deadline = None if graceful is None else time.monotonic() + graceful
        logger.info("Shutting down")
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        for server in self.servers:
            await server.wait_closed()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0.1)

        for what, waiting in (("connections to close", self.server_state.connections),
                              ("background tasks to complete", self.server_state.tasks)):
            if waiting and not self.force_exit:
                logger.info("Waiting for %s. (CTRL+C to force quit)", what)
            while waiting and not self.force_exit:
                if deadline is not None and time.monotonic() >= deadline:
                    tasks = list(self.server_state.tasks)
                    logger.error("Cancel %s running task(s), timeout graceful shutdown exceeded", len(tasks))
                    for task in tasks:
                        task.cancel()
                    break
                await asyncio.sleep(0.05)

        if not self.force_exit:
            await self.lifespan.shutdown()


def positive(text: str) -> int:
    """Parses a whole number of at least one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def parse(argv: list[str]) -> argparse.Namespace:
    """Parses the command line; an option that uvicorn does not know exits 2 as there."""
    parser = argparse.ArgumentParser(prog="uvicorn", allow_abbrev=False)
    parser.add_argument("app")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=positive, default=int(os.environ.get("WEB_CONCURRENCY", "1")))
    parser.add_argument("--proxy-headers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--forwarded-allow-ips", default=os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1"))
    parser.add_argument("--timeout-keep-alive", type=int, default=5)
    parser.add_argument("--timeout-graceful-shutdown", type=int, default=None)
    parser.add_argument("--server-header", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--date-header", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--access-log", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--log-level", default=None, choices=("critical", "error", "warning", "info", "debug", "trace"))
    parser.add_argument("--backlog", type=int, default=2048)
    parser.add_argument("--limit-concurrency", type=int, default=None)
    parser.add_argument("--limit-max-requests", type=int, default=None)
    parser.add_argument("--root-path", default="")
    parser.add_argument("--loop", default="auto")
    parser.add_argument("--http", default="auto")
    parser.add_argument("--lifespan", default="auto", choices=("auto", "on", "off"))
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Serves until a signal arrives. 0 after a clean stop, 3 when the application did not start."""
    args = parse(argv)
    config = LauncherConfig(
        args.app,
        trusted=args.forwarded_allow_ips if args.proxy_headers else None,
        graceful=args.timeout_graceful_shutdown,
        host=args.host,
        port=args.port,
        workers=args.workers,
        timeout_keep_alive=args.timeout_keep_alive,
        server_header=args.server_header,
        date_header=args.date_header,
        access_log=args.access_log,
        log_level=args.log_level,
        log_config=LOGGING_CONFIG,
        backlog=args.backlog,
        limit_concurrency=args.limit_concurrency,
        limit_max_requests=args.limit_max_requests,
        root_path=args.root_path,
        loop=args.loop,
        http=args.http,
        lifespan=args.lifespan,
        ws="none",
    )
    server = DrainingServer(config)
    # The command puts the working directory on the path, as `uvicorn` does with --app-dir's default.
    sys.path.insert(0, os.getcwd())
    if config.workers > 1:
        sock = config.bind_socket()
        Multiprocess(config, target=server.run, sockets=[sock]).run()
        return 0
    server.run()
    return 0 if server.started else STARTUP_FAILURE
