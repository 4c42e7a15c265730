"""The viewer in a notebook: the front end as a widget, answered from the kernel.

The front end sends ``{id, name, params}`` and is sent ``{id, answer}``, or ``{id, error}`` with the words that the page
gets; ``{cancel: id}`` says that nobody wants that answer any more. Answers are computed in threads, so that cells run
meanwhile, and sent from there. ``state`` is what the page's address has after the #.
"""

from concurrent.futures import Future
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuits.viewer.answering import Answering, failure_of
from circuits.viewer.extra import of_extra
from circuits.viewer.messages import Message, Run
from circuits.viewer.page import bundle_file
from circuits.viewer.state import state_of
from circuits.viewer.workers import Busy, Work

with of_extra("view"):
    import anywidget
    import traitlets

if TYPE_CHECKING:
    from circuits.viewer.answers import Answers


def view(
    run: str | Path,
    *,
    model: str | None = None,
    step: int | None = None,
    top: int | None = None,
    threshold: float | None = None,
    selected: str | None = None,
    compare: tuple[str, int] | None = None,
    device: str = "cpu",
) -> "CircuitViewer":
    """Look at the circuits of a run in a notebook, over training steps and sizes.

    Args:
        run: folder of a run, or a suite of models.
        model: which is shown at first.
        step: which training step.
        top: how many edges, those with the largest scores.
        threshold: the least size of a score; instead of ``top``.
        selected: a node or an edge, by name: ``"L1.H0"``, ``"L0.H1 -> L1.H0.k"``.
        compare: model and step beside which it is shown.
        device: on which models are computed.

    Raises:
        ValueError: there is no such run, model or step, or a number cannot be.
        OSError: the front end was not built.
    """
    from circuits.viewer.answers import Answers

    answers = Answers.of(str(run), device=device)
    there = answers.answer("run", {})
    assert isinstance(there, Run)
    state = state_of(there, model=model, step=step, top=top, threshold=threshold, selected=selected, compare=compare)
    return CircuitViewer(answers, there.name, state)


class CircuitViewer(anywidget.AnyWidget):
    """What ``view`` returns; a notebook shows it.

    Attributes:
        state: what is shown, as ``"model=d64-s0&step=400&selected=L1.H0"``. It follows what a person does, and setting
            it changes what is shown.
    """

    state = traitlets.Unicode("").tag(sync=True)
    _esm = traitlets.Unicode("").tag(sync=True)
    _css = traitlets.Unicode("").tag(sync=True)

    def __init__(self, answers: "Answers", name: str, state: str = "") -> None:
        """
        Args:
            answers: of the run.
            name: of the run.
            state: what is shown at first.
        """
        super().__init__(state=state, _esm=bundle_file("viewer.js").decode(), _css=bundle_file("viewer.css").decode())
        self._name = name
        self._answering = Answering(answers)
        self._works: dict[Any, Work[Message]] = {}
        self.on_msg(self._told)

    def close(self) -> None:
        """Show it no more, and end what is computed for it."""
        self._answering.close()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """As any widget; and where none can be shown, as in a notebook saved as HTML, words on how to save this one."""
        found = super()._repr_mimebundle_(**kwargs)
        if found is not None:
            found[0]["text/html"] = (
                f"<p>The circuit viewer of <code>{escape(self._name)}</code> is shown where a notebook runs."
                " <code>circuits export RUN -o FILE.html</code> saves it as a page of its own.</p>"
            )
        return found

    def _told(self, widget: Any, content: Any, buffers: Any) -> None:
        """A message of the front end."""
        if "cancel" in content:
            work = self._works.get(content["cancel"])
            if work is not None:
                work.cancel()
        else:
            self._ask(content["id"], content["name"], content.get("params", {}))

    def _ask(self, number: Any, name: str, parameters: dict[str, Any]) -> None:
        try:
            work = self._works[number] = self._answering.begin(name, parameters)
        except Busy as error:
            self.send({"id": number, "error": failure_of(error, name)[1]})
            return

        def tell(future: Future[Message]) -> None:
            self._works.pop(number, None)
            if work.stop.is_set():
                return
            if error := future.exception():
                self.send({"id": number, "error": failure_of(error, name)[1]})
            else:
                self.send({"id": number, "answer": future.result().model_dump(mode="json")})

        work.future.add_done_callback(tell)
