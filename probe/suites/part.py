"""Models that were trained on a mixture, as models of one of its tasks alone."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int
from torch import Tensor

from probe.suites.trained import TrainedModel
from probe.tasks import Mixture


@dataclass(frozen=True)
class PartModel(TrainedModel):
    """A model of ours that reads and answers one part of its mixture, and nothing else.

    It has the rows of the embedding, the positions and the columns of the unembedding that the part uses, so that its
    logits and activations on the part's questions are those of the whole model, and everything that is measured on a
    model of the part's task can be measured on it. Loss is over the part's own answers. Size, compute and examples seen
    are those of the whole model, exposures those of the part's examples in the whole stream.

    Attributes:
        whole: the model as it was trained.
        part: name of the part.
    """

    whole: TrainedModel
    part: str

    @classmethod
    def of(cls, whole: TrainedModel, part: str) -> "PartModel":
        """
        Raises:
            ValueError: the model was trained on no mixture, or the mixture has no such part.
        """
        mixture = whole.task
        if not isinstance(mixture, Mixture):
            raise ValueError(f"part: got {part!r}; {whole.name} was trained on {mixture.family}, expected a mixture")
        if part not in mixture.tasks:
            parts = ", ".join(mixture.tasks)
            raise ValueError(f"part: got {part!r}; expected one of {parts}, the parts of {whole.name}'s mixture")
        task = mixture.tasks[part]
        architecture = replace(whole.architecture, d_vocab=task.d_vocab, n_ctx=task.n_ctx, d_vocab_out=task.d_vocab)
        return cls(
            whole.folder, whole.name, architecture, task, whole.seed, whole.examples_per_step, whole.config, whole, part
        )

    @property
    def n_params(self) -> int:
        return self.whole.n_params

    @property
    def tokens_per_step(self) -> float:  # type: ignore[override]  # as of the whole model
        return self.whole.tokens_per_step

    def examples_seen(self, step: int) -> float:
        return self.whole.examples_seen(step)

    def tokens_seen(self, step: int) -> float:
        return self.whole.tokens_seen(step)

    @property
    def _mixture(self) -> Mixture:
        assert isinstance(self.whole.task, Mixture)
        return self.whole.task

    def exposures(self, step: int) -> Int[np.ndarray, " example"]:
        return self.whole.exposures(step)[self._mixture.examples[self.part]]

    def weights(self, step: int) -> dict[str, Tensor]:
        first, arch = self._mixture.first_token[self.part], self.architecture
        own = slice(first, first + arch.d_vocab)
        cuts = {"embed.W_E": (own,), "pos_embed.W_pos": (slice(arch.n_ctx),), "unembed.W_U": (..., own)}
        cuts["unembed.b_U"] = (own,)
        # copies: a slice of a stored tensor would keep all of it
        return {
            name: weight[cuts[name]].clone() if name in cuts else weight
            for name, weight in self.whole.weights(step).items()
        }
