"""The viewer as a page: one run, looked at in a browser.

``/``               the page, and ``/start.js``, which starts it
``/bundle/<file>``  the built front end
``/api/<question>`` what it asks (``circuits.viewer.served.api``), and ``/openapi.json``, which describes that

Nothing else is served. ``circuits.viewer.served.guard`` says who may ask.
"""

import errno
import gzip
import ipaddress
import secrets
import socket
import webbrowser
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from functools import cache
from threading import Thread
from typing import TYPE_CHECKING

from circuits.viewer.answering import N_LIVE, N_WAITING, Answering
from circuits.viewer.extra import of_extra
from circuits.viewer.page import ELEMENT, FILES, bundle_file, bundle_version, html_page

with of_extra("view"):
    import uvicorn
    from fastapi import FastAPI, Request
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.responses import HTMLResponse, Response

    from circuits.viewer.served.api import add_questions
    from circuits.viewer.served.guard import ANY_ADDRESS, LOOPBACK, Guard

if TYPE_CHECKING:
    from circuits.viewer.answers import Answers

PORT = 8765
"""Where the page is, unless that is taken."""

EVERYWHERE = ("0.0.0.0", "::")
"""Hosts that stand for all addresses of this machine."""


def app_of(
    answers: "Answers",
    *,
    token: str | None = None,
    allowed_hosts: Collection[str] = LOOPBACK,
    n_live: int = N_LIVE,
    n_waiting: int = N_WAITING,
) -> FastAPI:
    """The page of one run, as an app that any ASGI server can serve.

    Args:
        answers: of the run.
        token: what whoever asks must know; None if nothing.
        allowed_hosts: names under which it may be asked, without ports.
        n_live: answers that take a model, at a time.
        n_waiting: such answers that may wait.
    """
    answering = Answering(answers, n_live, n_waiting)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        answering.close()

    public = ["/start.js", *(f"/bundle/{name}" for name in FILES)]
    app = FastAPI(
        title="grokscope viewer",
        description="What the front end of the circuit viewer asks of a run.",
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        middleware=[
            Middleware(Guard, token=token, hosts=allowed_hosts, public=public),
            Middleware(GZipMiddleware, compresslevel=5),
        ],
    )
    app.add_api_route("/", _page, include_in_schema=False)
    app.add_api_route("/start.js", _start, include_in_schema=False)
    app.add_api_route("/bundle/{name}", _bundle, include_in_schema=False)
    add_questions(app, answering)
    return app


def serve(answers: "Answers", *, host: str, port: int | None, state: str = "", browser: bool = True) -> None:
    """Serve the page until Ctrl-C, at an address that is printed.

    Args:
        answers: of the run.
        host: name or address of this machine; 0.0.0.0 or :: for all that it has. Elsewhere than on the loopback
            interface a token is needed, and is part of the address printed.
        port: None: ``PORT``, or if that is taken, one that is free.
        state: what is shown at first, as after the # of the address.
        browser: whether to open one.

    Raises:
        OSError: the host is not this machine, or the port is taken, or the front end was not built.
    """
    bundle_version()
    token = None if _is_loopback(host) else secrets.token_urlsafe()
    app = app_of(answers, token=token, allowed_hosts=_names(host))
    with _listening(host, port) as at:
        address = _address(host, at.getsockname()[1], token, state)
        print(f"{address}\nCtrl-C ends it.", flush=True)
        if browser:
            Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nothing that is said of another host or client is believed
            timeout_graceful_shutdown=1,
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run([at])


async def _page(request: Request) -> Response:
    version = bundle_version()
    head = f'<link rel="stylesheet" href="bundle/viewer.css?v={version}">'
    return HTMLResponse(
        html_page("grokscope", head, f'<script type="module" src="start.js?v={version}"></script>'),
        headers={"Cache-Control": "no-cache"},
    )


async def _start(request: Request) -> Response:
    text = (
        f'import {{ mount, httpTransport }} from "./bundle/viewer.js?v={bundle_version()}";\n'
        f'mount(document.getElementById("{ELEMENT}"), httpTransport(), {{}});\n'
    )
    return Response(text, media_type=FILES["viewer.js"], headers={"Cache-Control": _kept(request)})


async def _bundle(request: Request, name: str) -> Response:
    if name not in FILES:
        raise HTTPException(404)
    headers = {"Cache-Control": _kept(request), "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(_zipped(name), media_type=FILES[name], headers=headers | {"Content-Encoding": "gzip"})
    return Response(bundle_file(name), media_type=FILES[name], headers=headers)


def _kept(request: Request) -> str:
    """How long a browser may keep a file: for ever, if its address says which version it is."""
    is_versioned = request.query_params.get("v") == bundle_version()
    return "public, max-age=31536000, immutable" if is_versioned else "no-cache"


@cache
def _zipped(name: str) -> bytes:
    return gzip.compress(bundle_file(name), 5)


def _listening(host: str, port: int | None) -> socket.socket:
    """A socket that can be asked from now on, and answers once it is served."""
    try:
        return _bound(host, PORT if port is None else port)
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            return _bound(host, 0)
        raise OSError(error.errno, f"host, port: got {host} and {port or PORT}; {error.strerror or error}") from error


def _bound(host: str, port: int) -> socket.socket:
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    at = socket.socket(family, socket.SOCK_STREAM)
    try:
        at.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        at.bind(address)
        at.listen(128)
    except OSError:
        at.close()
        raise
    return at


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names(host: str) -> tuple[str, ...]:
    """Under which names the page may be asked for that is bound to a host."""
    if host in EVERYWHERE:
        return (*LOOPBACK, socket.gethostname(), ANY_ADDRESS)
    return (*LOOPBACK, _in_address(host))


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _address(host: str, port: int, token: str | None, state: str) -> str:
    name = socket.gethostname() if host in EVERYWHERE else _in_address(host)
    return f"http://{name}:{port}/{f'?token={token}' if token else ''}{f'#{state}' if state else ''}"
