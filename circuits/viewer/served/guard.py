"""Who may ask the page that is served, how much, and what a browser may do with the answer.

1. The ``Host`` header must name this machine. A site that points its own name at it (DNS rebinding) says that name.
2. With a token, all but the front end's files needs it: in the header ``X-Token``, or, of the addresses that a person
   opens, as ``?token=``.
3. The API is asked by the page itself, not by pages of other sites: ``Origin``, if there is one, is the page's, and
   ``Sec-Fetch-Site``, if there is one, says so.
4. Addresses and bodies are bounded.
5. Answers tell the browser to load nothing from elsewhere, to guess no types, and to say nowhere where it was.
"""

import hmac
import ipaddress
from collections.abc import Collection
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from circuits.viewer.messages import Failure

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ANY_ADDRESS = "any address"
"""Stands for all IP addresses among the hosts: nobody can point another name at this machine by one."""

MAX_QUERY = 4096
"""Bytes of the parameters in an address."""

MAX_BODY = 1 << 18
"""Bytes of a body: a prompt of the greatest length, with all nodes ablated, is about half of it."""

POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; object-src 'none';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """An ASGI app that asks another only what may be asked."""

    def __init__(self, app: ASGIApp, *, token: str | None, hosts: Collection[str], public: Collection[str]) -> None:
        """
        Args:
            app: what is guarded.
            token: what must be known; None if nothing.
            hosts: names under which it is asked, without a port; ``ANY_ADDRESS`` may be among them.
            public: paths that need no token.
        """
        self._app, self._token, self._public = app, token, frozenset(public)
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the start and the end of the app; it has no web sockets
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refused = self._refused(scope)
        if refused is None and scope["method"] == "POST":
            body = await _body(receive)
            if body is None:
                refused = failure(413, f"body: got more than {MAX_BODY:,} bytes")
            else:
                receive = _replayed(body, receive)
        await (refused or self._app)(scope, receive, send_with_headers)

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_ours(host):
            return failure(403, f"host: got {host!r}; expected a name of this machine, as in the address printed")
        if (n_bytes := len(scope["query_string"])) > MAX_QUERY:
            return failure(414, f"address: got parameters of {n_bytes:,} bytes; expected at most {MAX_QUERY:,}")
        asks = scope["path"].startswith("/api/")
        if asks and not _is_same_origin(headers, f"{scope['scheme']}://{host}"):
            return failure(403, "origin: a page of another site asked; expected this one's own page")
        if self._token is None or scope["path"] in self._public:
            return None
        given = headers.get("x-token")
        if given is None and not asks:
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [None])[0]
        if given is None or not hmac.compare_digest(given.encode(), self._token.encode()):
            where = "in the header X-Token" if asks else "as ?token="
            return failure(401, f"token: expected that of the address printed, {where}")
        return None

    def _is_ours(self, host: str) -> bool:
        name, colon, port = host.lower().rpartition(":")
        if not colon or host.endswith("]"):
            name, port = host.lower(), ""
        if port and not port.isdecimal():
            return False
        return name in self._hosts or (ANY_ADDRESS in self._hosts and _is_address(name))


def failure(status: int, error: str) -> JSONResponse:
    """An answer that says why there is none."""
    return JSONResponse(Failure(error=error).model_dump(), status)


def _is_same_origin(headers: Headers, own: str) -> bool:
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
    return origin in (None, own) and site in ("same-origin", "none")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


async def _body(receive: Receive) -> bytes | None:
    """All that is sent, counted as it comes, whatever its header says; None if that is too much."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What gives a body that was read, and then what comes after it."""
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once
