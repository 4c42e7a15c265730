"""The questions of ``circuits.viewer.messages`` over HTTP, as routes that describe themselves.

A question is asked at ``/api/<name>``, by GET with its parameters in the address, or by POST with them as JSON where
they may be long. It is answered in a thread; if whoever asked goes away meanwhile, the thread is told to stop. An error
is ``{"error": "field: got ...; expected ..."}``: 400 what was asked is wrong, 404 there is no such question, 429 too
many are being answered, 500 a defect, which the log tells all about.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from circuits.viewer.answering import Answering, failure_of
from circuits.viewer.messages import QUESTIONS, Failure, Message
from circuits.viewer.served.guard import failure
from circuits.viewer.workers import Work

POSTED = frozenset({"forward"})
"""Questions whose parameters may be too long for an address."""

GONE = Response(status_code=499)
"""What nobody reads: whoever asked has gone away. The number is the one that web servers log for it."""

_FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": said}
    for status, said in {400: "What was asked is wrong", 429: "Too many are being answered", 500: "A defect"}.items()
}


def add_questions(app: FastAPI, answering: Answering) -> None:
    """Make an app answer them."""
    for name, (parameters, answer, is_live) in QUESTIONS.items():
        app.add_api_route(
            f"/api/{name}",
            _endpoint(name, parameters, answering),
            methods=["POST" if name in POSTED else "GET"],
            name=name,
            summary=_first_line(answer),
            description=answer.__doc__ or "",
            response_model=answer,
            responses=_FAILURES,
            tags=["computed on a model" if is_live else "read from the run"],
        )
    app.add_exception_handler(RequestValidationError, _wrong)
    app.add_exception_handler(HTTPException, _not_there)


def _endpoint(name: str, parameters: type[Message], answering: Answering) -> Callable[..., Any]:
    async def ask(request: Request, asked: Message) -> Response:
        try:
            answer = await _unless_gone(request, answering.begin(name, asked.model_dump(exclude_unset=True)))
        except Exception as error:
            return failure(*failure_of(error, name))
        return GONE if answer is None else Response(answer.model_dump_json(), media_type="application/json")

    # FastAPI reads what is asked for from the signature.
    ask.__annotations__["asked"] = parameters if name in POSTED else Annotated[parameters, Query()]
    return ask


async def _unless_gone(request: Request, work: Work[Message]) -> Message | None:
    """The answer; None if whoever asked went away before it was there."""
    answer, gone = asyncio.wrap_future(work.future), asyncio.ensure_future(_gone(request))
    either: set[asyncio.Future[Any]] = {answer, gone}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else None
    finally:
        gone.cancel()
        if not answer.done():
            work.cancel()
            answer.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _wrong(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return failure(400, "; ".join(_mistake(one) for one in error.errors()))


def _mistake(error: Mapping[str, Any]) -> str:
    """One mistake: the field, what was given, what was expected."""
    field = ".".join(str(part) for part in error["loc"][1:]) or "body"
    if error["type"] == "missing":
        return f"{field}: got none; expected one"
    if error["type"] == "extra_forbidden":
        return f"{field}: there is no such field"
    given = repr(error.get("input"))
    return f"{field}: got {given[:100]}; {error['msg'][:1].lower()}{error['msg'][1:]}"


def _not_there(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 404 and path.startswith("/api/"):
        return failure(404, f"name: got {path.removeprefix('/api/')!r}; expected one of {', '.join(QUESTIONS)}")
    return failure(error.status_code, f"{request.method} {path}: {error.detail}")


def _first_line(answer: type[Message]) -> str:
    return (answer.__doc__ or "").strip().splitlines()[0]
