"""Our compact transformer as a hooked model: TransformerLens' hook points, names and shapes.

All hooks can be read and edited: an edit of scores, patterns, per-head results or of the q/k/v inputs of single heads
changes the logits. What a hook alone needs (the [batch, position, head, d_model] copies) is computed only while the
hook is attached, and there is no setting that switches a hook off.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from einops import einsum, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformer_lens import HookedRootModule, TransformerBridgeConfig
from transformer_lens.hook_points import HookPoint

from probe.suites.architecture import LN_EPS, Architecture


@runtime_checkable
class HookedModel(Protocol):
    """What everything downstream knows of a model, ours or a ``TransformerBridge``."""

    cfg: Any
    hook_dict: dict[str, HookPoint]

    @property
    def run_with_hooks(self) -> Callable[..., Any]:
        """A forward pass with hooks attached for its duration."""

    @property
    def run_with_cache(self) -> Callable[..., Any]:
        """A forward pass that also returns the activations by hook name."""

    @property
    def named_parameters(self) -> Callable[..., Any]:
        """The weights, by the names that the model's own code gives them."""


def weights_by_name(model: HookedModel) -> dict[str, Tensor]:
    """The weights of a loaded model by TransformerLens name and layout, whether it is ours or a bridge."""
    named = getattr(model, "tl_named_parameters", model.named_parameters)
    return {name: weight.detach() for name, weight in named()}


class HookedTransformer(HookedRootModule):
    """The plain forward pass of ``Architecture`` through ``HookPoint``s; parameters bear TransformerLens' names.

    Args:
        arch: sizes and options. Weights are uninitialized: use ``with_weights``.
    """

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        assert arch.d_head is not None
        assert arch.d_vocab_out is not None
        self.cfg = TransformerBridgeConfig(
            d_model=arch.d_model,
            d_head=arch.d_head,
            n_heads=arch.n_heads,
            n_layers=arch.n_layers,
            n_ctx=arch.n_ctx,
            d_mlp=arch.d_mlp,
            d_vocab=arch.d_vocab,
            d_vocab_out=arch.d_vocab_out,
            act_fn=arch.activation,
            normalization_type=arch.normalization,
            attention_dir="causal" if arch.causal else "bidirectional",
            attn_only=arch.attn_only,
            architecture="grokscope",
        )
        self.embed = _Embedding(arch, "embed.")
        self.hook_embed = HookPoint()
        self.pos_embed = _Positions(arch, "pos_embed.")
        self.hook_pos_embed = HookPoint()
        self.blocks = nn.ModuleList(_Block(arch, layer) for layer in range(arch.n_layers))
        self.ln_final = _LayerNorm(arch, "ln_final.") if arch.normalization else nn.Identity()
        self.unembed = _Unembed(arch, "unembed.")
        self.setup()

    @classmethod
    def with_weights(cls, arch: Architecture, weights: Mapping[str, Tensor]) -> "HookedTransformer":
        """A model with these weights, in evaluation mode.

        Raises:
            ValueError: a name or a shape is not that of the architecture; the message names it.
        """
        for name in sorted(set(arch.shapes) ^ set(weights)):
            raise ValueError(f"weights: {name} is {'missing' if name in arch.shapes else 'not part of the model'}")
        for name, shape in arch.shapes.items():
            if tuple(weights[name].shape) != shape:
                raise ValueError(f"weights: {name} has shape {tuple(weights[name].shape)}; expected {shape}")
        with torch.device("meta"):
            model = cls(arch)
        model.load_state_dict(dict(weights), assign=True)
        return model.eval()

    def forward(
        self,
        tokens: Int[Tensor, "batch position"],
        stop_at_layer: int | None = None,
        attention_mask: Bool[Tensor, "batch position"] | Int[Tensor, "batch position"] | None = None,
    ) -> Float[Tensor, "batch position d_vocab_out"]:
        """Logits; or, with ``stop_at_layer``, the residual stream entering that block, computing nothing further.

        Args:
            tokens: what is read.
            stop_at_layer: number of the first block that is not run.
            attention_mask: 1 where a token is content, 0 where it is padding, which may be anywhere; no mask if all
                are content. Content is read as if the padding were not there: it is not attended to and takes up no
                position. What comes out at padding is finite and means nothing.
        """
        embedded = self.hook_embed(self.embed.W_E[tokens])
        if attention_mask is None:
            positions = repeat(self.pos_embed.W_pos[: tokens.shape[1]], "p d -> b p d", b=len(tokens))
        else:
            positions = self.pos_embed.W_pos[(attention_mask.long().cumsum(1) - 1).clamp(min=0)]
        resid = embedded + self.hook_pos_embed(positions)
        for block in self.blocks[:stop_at_layer]:
            resid = block(resid, attention_mask)
        if stop_at_layer is not None:
            return resid
        return self.unembed(self.ln_final(resid))


class _Parameters(nn.Module):
    """The parameters of an architecture whose names begin with ``prefix``."""

    def __init__(self, arch: Architecture, prefix: str) -> None:
        super().__init__()
        for name, shape in arch.shapes.items():
            if name.startswith(prefix):
                setattr(self, name.removeprefix(prefix), nn.Parameter(torch.empty(shape), requires_grad=True))

    def bias(self, name: str) -> Tensor | float:
        """A bias, or 0 in an architecture without."""
        return getattr(self, name, 0.0)


class _Embedding(_Parameters):
    W_E: Tensor


class _Positions(_Parameters):
    W_pos: Tensor


class _LayerNorm(_Parameters):
    w: Tensor
    b: Tensor

    def __init__(self, arch: Architecture, prefix: str) -> None:
        super().__init__(arch, prefix)
        self.hook_scale = HookPoint()
        self.hook_normalized = HookPoint()

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        x = x - x.mean(-1, keepdim=True)
        scale = self.hook_scale((x.pow(2).mean(-1, keepdim=True) + LN_EPS).sqrt())
        return self.hook_normalized(x / scale) * self.w + self.b


class _Block(nn.Module):
    def __init__(self, arch: Architecture, layer: int) -> None:
        super().__init__()
        self.n_heads = arch.n_heads
        prefix = f"blocks.{layer}."
        self.hook_resid_pre = HookPoint()
        self.hook_q_input = HookPoint()
        self.hook_k_input = HookPoint()
        self.hook_v_input = HookPoint()
        self.hook_attn_out = HookPoint()
        self.hook_resid_post = HookPoint()
        self.ln1 = _LayerNorm(arch, f"{prefix}ln1.") if arch.normalization else nn.Identity()
        self.attn = _Attention(arch, f"{prefix}attn.")
        self.attn_only = arch.attn_only
        if arch.attn_only:
            return
        self.hook_resid_mid = HookPoint()
        self.hook_mlp_in = HookPoint()
        self.hook_mlp_out = HookPoint()
        self.ln2 = _LayerNorm(arch, f"{prefix}ln2.") if arch.normalization else nn.Identity()
        self.mlp = _MLP(arch, f"{prefix}mlp.")

    def forward(
        self, resid: Float[Tensor, "batch position d_model"], attention_mask: Tensor | None
    ) -> Float[Tensor, "batch position d_model"]:
        resid_pre = self.hook_resid_pre(resid)
        forks = [self.hook_q_input, self.hook_k_input, self.hook_v_input]
        own = [
            self.ln1(fork(repeat(resid_pre, "b p d -> b p h d", h=self.n_heads))) if fork.has_hooks() else None
            for fork in forks
        ]
        # The input that is not forked comes last, so that of LayerNorm's hooks, which see every call, it is what a
        # cache keeps: [batch, position, d_model], whichever other hooks are attached.
        shared = self.ln1(resid_pre)
        inputs = [shared if x is None else x for x in own]
        resid_mid = resid_pre + self.hook_attn_out(self.attn(*inputs, attention_mask))
        if self.attn_only:
            return self.hook_resid_post(resid_mid)
        resid_mid = self.hook_resid_mid(resid_mid)
        # a tensor of its own, as for the heads: else the gradient there would be that of all that read the stream
        mlp_in = resid_mid.clone() if self.hook_mlp_in.has_hooks() else resid_mid
        mlp_out = self.hook_mlp_out(self.mlp(self.ln2(self.hook_mlp_in(mlp_in))))
        return self.hook_resid_post(resid_mid + mlp_out)


class _Attention(_Parameters):
    W_Q: Tensor
    W_K: Tensor
    W_V: Tensor
    W_O: Tensor

    def __init__(self, arch: Architecture, prefix: str) -> None:
        super().__init__(arch, prefix)
        self.causal = arch.causal
        self.coefficient = arch.attention_coefficient
        self.hook_q = HookPoint()
        self.hook_k = HookPoint()
        self.hook_v = HookPoint()
        self.hook_attn_scores = HookPoint()
        self.hook_pattern = HookPoint()
        self.hook_z = HookPoint()
        self.hook_result = HookPoint()

    def forward(
        self, q_input: Tensor, k_input: Tensor, v_input: Tensor, attention_mask: Tensor | None
    ) -> Float[Tensor, "batch position d_model"]:
        q = self.hook_q(_project(q_input, self.W_Q) + self.bias("b_Q"))
        k = self.hook_k(_project(k_input, self.W_K) + self.bias("b_K"))
        v = self.hook_v(_project(v_input, self.W_V) + self.bias("b_V"))
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5
        seen = self._seen(scores.shape[-1], attention_mask, scores.device)
        scores = self.hook_attn_scores(scores.masked_fill(~seen, -torch.inf))
        pattern = scores.softmax(-1)
        if self.coefficient != 1:
            pattern = (self.coefficient * pattern + (1 - self.coefficient)).masked_fill(~seen, 0)
        pattern = self.hook_pattern(pattern)
        z = self.hook_z(einsum(pattern, v, "b h q k, b k h e -> b q h e"))
        if self.hook_result.has_hooks():
            result = self.hook_result(einsum(z, self.W_O, "b p h e, h e d -> b p h d"))
            return result.sum(2) + self.bias("b_O")
        return einsum(z, self.W_O, "b p h e, h e d -> b p d") + self.bias("b_O")

    def _seen(
        self, n_positions: int, attention_mask: Tensor | None, device: torch.device
    ) -> Bool[Tensor, "query key"] | Bool[Tensor, "batch 1 query key"]:
        """Which keys a query attends to."""
        seen = torch.ones(n_positions, n_positions, dtype=torch.bool, device=device)
        if self.causal:
            seen = seen.tril()
        if attention_mask is None:
            return seen
        # Each query sees itself as well, so that at padding, which nothing reads, the softmax is of something.
        itself = torch.eye(n_positions, dtype=torch.bool, device=device)
        return (seen & attention_mask.bool()[:, None, None, :]) | itself


def _project(x: Tensor, w: Float[Tensor, "head d_model d_head"]) -> Float[Tensor, "batch position head d_head"]:
    """Each head's part of the residual stream, from one input for all heads or one for each."""
    return einsum(x, w, "b p d, h d e -> b p h e" if x.ndim == 3 else "b p h d, h d e -> b p h e")


class _MLP(_Parameters):
    W_in: Tensor
    W_out: Tensor

    def __init__(self, arch: Architecture, prefix: str) -> None:
        super().__init__(arch, prefix)
        self.activation = F.relu if arch.activation == "relu" else F.gelu
        self.hook_pre = HookPoint()
        self.hook_post = HookPoint()

    def forward(self, x: Float[Tensor, "batch position d_model"]) -> Float[Tensor, "batch position d_model"]:
        pre = self.hook_pre(x @ self.W_in + self.bias("b_in"))
        return self.hook_post(self.activation(pre)) @ self.W_out + self.bias("b_out")


class _Unembed(_Parameters):
    W_U: Tensor

    def __init__(self, arch: Architecture, prefix: str) -> None:
        super().__init__(arch, prefix)
        self.hook_out = HookPoint()

    def forward(self, x: Float[Tensor, "batch position d_model"]) -> Float[Tensor, "batch position d_vocab_out"]:
        return self.hook_out(x @ self.W_U + self.bias("b_U"))
