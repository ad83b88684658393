"""A stand-in of the server-side renderer (contract 1.4).

Rendering is replaced by filling a template; hosts, headers, caching and fall-backs are kept.
"""

from __future__ import annotations

import base64
import hashlib
import html
import http.server
import json
import mimetypes
import os
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

BROWSER = Path(__file__).resolve().parents[1] / "browser"
DEFAULT_TOKENS = {"color-primary": "#1f2937", "color-accent": "#b45309", "radius": "12px"}
CSR_ORIGIN = "https://momentstudio.ro"

mimetypes.add_type("application/manifest+json", ".webmanifest")
mimetypes.add_type("text/javascript", ".js")


def host_allowed(host: str, allowed: str) -> bool:
    """Whether NG_ALLOWED_HOSTS names this host: exact, `*.suffix` or `*`."""
    for item in (part.strip().lower() for part in allowed.split(",")):
        if item == "*" or item == host or (item.startswith("*.") and host.endswith(item[1:])):
            return True
    return False


class Theme:
    """The tokens of the shop, fetched at most once per lifetime; failure means the compiled defaults."""

    def __init__(self) -> None:
        base = os.environ.get("SSR_API_BASE_URL", "http://backend:8000/api/v1")
        self.url = f"{base.rstrip('/')}/theme"
        self.timeout = int(os.environ.get("MS_THEME_TIMEOUT_MS", "2000")) / 1000
        self.lifetime = int(os.environ.get("MS_THEME_CACHE_TTL_MS", "30000")) / 1000
        self.killed = os.environ.get("MS_THEME_KILL_SWITCH") == "1"
        self.lock = threading.Lock()
        self.value, self.until = DEFAULT_TOKENS, 0.0

    def tokens(self) -> dict[str, Any]:
        """Returns the current tokens and never raises."""
        if self.killed:
            return DEFAULT_TOKENS
        with self.lock:
            if time.monotonic() >= self.until:
                try:
                    with urllib.request.urlopen(self.url, timeout=self.timeout) as answer:
                        self.value = json.load(answer)["tokens"] or DEFAULT_TOKENS
                except (OSError, ValueError, KeyError) as error:
                    print(f"theme: {type(error).__name__}, using defaults", file=sys.stderr, flush=True)
                    self.value = DEFAULT_TOKENS
                self.until = time.monotonic() + self.lifetime
            return self.value


class Handler(http.server.BaseHTTPRequestHandler):
    """Static files first, then the page."""

    protocol_version = "HTTP/1.1"
    theme: Theme
    template: str

    def version_string(self) -> str:
        """Sends no product name: express has no Server header, so send_response below omits it."""
        return ""

    def send_response(self, code: int, message: str | None = None) -> None:
        self.send_response_only(code, message)
        self.send_header("Date", self.date_time_string())
        self.send_header("X-Powered-By", "Express")

    def log_message(self, format: str, *args: Any) -> None:
        print(f"{self.address_string()} {format % args}", file=sys.stderr, flush=True)

    def respond(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Sends one response; a HEAD request gets the headers only."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def static_file(self, path: str) -> Path | None:
        """Returns the file under the browser root that a path names, if any."""
        candidate = (BROWSER / unquote(path).lstrip("/")).resolve()
        if candidate.is_file() and candidate.is_relative_to(BROWSER):
            return candidate
        return None

    def page(self, host_header: str) -> tuple[int, bytes, dict[str, str]]:
        """Renders when the host is allowed, else falls back as the engine does."""
        allowed = os.environ.get("NG_ALLOWED_HOSTS", "").strip()
        host = host_header.rsplit(":", 1)[0].lower()
        if not allowed:
            print(f"error: host {host!r} is not allowed, serving the client-side shell", file=sys.stderr, flush=True)
            body = (BROWSER / "index.html").read_bytes()
            return 200, body, {"Content-Type": "text/html; charset=utf-8"}
        if not host_allowed(host, allowed):
            print(f"error: host {host!r} is not allowed", file=sys.stderr, flush=True)
            return 500, b"Internal Server Error", {"Content-Type": "text/html; charset=utf-8"}
        style = ":root{" + "".join(f"--{key}:{value};" for key, value in sorted(self.theme.tokens().items())) + "}"
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        # `trust proxy` is off there, so canonical URLs are http:// even behind TLS.
        canonical = f"http://{host_header}{urlsplit(self.path).path}"
        rendered = (
            self.template.replace("@SERVER_CONTEXT@", ' ng-server-context="ssr"')
            .replace("@CANONICAL@", html.escape(canonical, quote=True))
            .replace("@CONTENT@", "<main><h1>momentstudio</h1></main>")
            .replace("</head>", f'<style id="ms-theme">{style}</style>\n</head>')
        )
        return 200, rendered.encode(), {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy-Report-Only": f"style-src 'self' 'sha256-{digest}'",
        }

    def do_GET(self) -> None:
        """Answers 200 with a page even for a missing asset: the soft 404 of contract 1.4."""
        path = urlsplit(self.path).path
        found = self.static_file(path) if path != "/" else None
        if found is not None:
            kind = mimetypes.guess_type(found.name)[0] or "application/octet-stream"
            if kind.startswith("text/") or kind == "application/json":
                kind += "; charset=utf-8"
            self.respond(200, found.read_bytes(), {"Content-Type": kind, "Cache-Control": "public, max-age=31536000"})
            return
        self.respond(*self.page(self.headers.get("Host", "")))

    do_HEAD = do_GET


def main() -> None:
    """Listens on PORT unless SSR_AUTOSTART is 0."""
    if os.environ.get("SSR_AUTOSTART", "1") == "0":
        return
    Handler.theme = Theme()
    Handler.template = (Path(__file__).parent / "template.html").read_text(encoding="utf-8")
    server = http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "4000"))), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
