"""The training-time forward pass: all members of an ensemble at once, and only what the loss needs.

Every parameter carries a leading member axis, so one batched matrix product serves all members. Three kinds of work
are left out because they cannot reach the loss or repeat:

1. The residual stream entering the first block depends only on (token, position), so queries, keys and values of the
   first block are computed once per distinct (token, position) and looked up per example, when that is fewer.
   Where the queries are few as well (one position, one token "="), so are the attention scores.
2. In the last block, queries, attention output, MLP and logits are computed at the scored positions only.
3. No logits are computed anywhere else.

The result is that of the plain forward pass to float32 round-off; ``probe.suites.hooked`` is the plain one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.suites.architecture import LN_EPS, Architecture

Weights = Mapping[str, Tensor]
"""Parameters by name, each with a leading member axis."""


@dataclass(frozen=True)
class Inputs:
    """Questions of an ensemble, with the distinct (token, position) among them listed once.

    Attributes:
        row: which line of the table each token is.
        scored: positions at which the loss reads logits, ascending.
        table_token, table_position: the table: every distinct (token, position) of the ensemble's questions.
    """

    row: Int[Tensor, "member example position"]
    scored: tuple[int, ...]
    table_token: Int[Tensor, " row"]
    table_position: Int[Tensor, " row"]

    @classmethod
    def of(cls, tokens: Int[Tensor, "member example position"], scored: tuple[int, ...]) -> "Inputs":
        n_positions = tokens.shape[-1]
        position = torch.arange(n_positions, device=tokens.device)
        pairs, row = torch.unique(tokens * n_positions + position, return_inverse=True)
        return cls(row, scored, pairs // n_positions, pairs % n_positions)

    def examples(self, index: Int[Tensor, "member batch"]) -> "Inputs":
        """The inputs of a mini-batch: for each member, the examples with these numbers."""
        row = self.row.gather(1, index[..., None].expand(-1, -1, self.row.shape[-1]))
        return Inputs(row, self.scored, self.table_token, self.table_position)


def logits(arch: Architecture, weights: Weights, inputs: Inputs) -> Float[Tensor, "member example scored d_vocab_out"]:
    """Logits at the scored positions, for every member and example."""
    everywhere = tuple(range(inputs.row.shape[-1]))
    table = weights["embed.W_E"][:, inputs.table_token] + weights["pos_embed.W_pos"][:, inputs.table_position]
    resid: Tensor | None = None
    for layer in range(arch.n_layers):
        prefix = f"blocks.{layer}."
        block = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
        queried = inputs.scored if layer == arch.n_layers - 1 else everywhere
        if resid is None:
            z = _first_attention(arch, block, table, inputs, queried)
            resid = _look_up(table, inputs.row[:, :, list(queried)])
        else:
            q, k, v = (_heads(arch, block, x, resid) for x in "QKV")
            z = _attend(q[:, :, list(queried)], k, v, queried)
            resid = resid[:, :, list(queried)]
        resid = resid + _affine(z.flatten(-2), block["attn.W_O"].flatten(1, 2), block.get("attn.b_O"))
        if arch.attn_only:
            continue
        hidden = _affine(_normalized(block, "ln2", resid), block["mlp.W_in"], block.get("mlp.b_in"))
        hidden = F.relu(hidden) if arch.activation == "relu" else F.gelu(hidden)
        resid = resid + _affine(hidden, block["mlp.W_out"], block.get("mlp.b_out"))
    assert resid is not None
    return _affine(_normalized(weights, "ln_final", resid), weights["unembed.W_U"], weights.get("unembed.b_U"))


def _first_attention(
    arch: Architecture,
    block: Weights,
    table: Float[Tensor, "member row d_model"],
    inputs: Inputs,
    queried: tuple[int, ...],
) -> Float[Tensor, "member example query head d_head"]:
    """Attention of the first block, from queries, keys and values that are computed once per line of the table."""
    row = inputs.row
    n_examples, n_positions = row.shape[1:]
    n_rows = table.shape[1]
    if n_rows > n_examples * n_positions:
        resid = _look_up(table, row)
        q, k, v = (_heads(arch, block, x, resid) for x in "QKV")
        return _attend(q[:, :, list(queried)], k, v, queried)

    asks = torch.isin(inputs.table_position, torch.tensor(queried, device=row.device))
    asked = asks.nonzero()[:, 0]
    query_line = (asks.cumsum(0) - 1)[row[:, :, list(queried)]]
    q = _heads(arch, block, "Q", table[:, asked])
    k, v = (_heads(arch, block, x, table) for x in "KV")
    v_looked_up = _look_up(v.flatten(2), row).unflatten(-1, v.shape[2:])
    if len(asked) * n_rows > n_examples * n_positions:
        k_looked_up = _look_up(k.flatten(2), row).unflatten(-1, k.shape[2:])
        q_looked_up = _look_up(q.flatten(2), query_line).unflatten(-1, q.shape[2:])
        return _attend(q_looked_up, k_looked_up, v_looked_up, queried)

    scores = torch.einsum("mqhe,mkhe->mqkh", q, k).flatten(1, 2) / q.shape[-1] ** 0.5
    line = query_line[:, :, :, None] * n_rows + row[:, :, None, :]
    scores = _look_up(scores, line)
    mask = _mask(queried, n_positions, scores.device)
    if mask is not None:
        scores = scores.masked_fill(~mask[..., None], -torch.inf)
    pattern = scores.softmax(-2)
    # Products and a sum, not an einsum: a batched matrix product for each [query, key] this small is 4 times slower.
    return (pattern[..., None] * v_looked_up[:, :, None]).sum(3)


def _attend(
    q: Float[Tensor, "member example query head d_head"],
    k: Float[Tensor, "member example key head d_head"],
    v: Float[Tensor, "member example key head d_head"],
    queried: tuple[int, ...],
) -> Float[Tensor, "member example query head d_head"]:
    n_members, n_examples, n_positions = k.shape[:3]
    mask = _mask(queried, n_positions, k.device)
    q, k, v = (x.transpose(2, 3).flatten(0, 1) for x in (q, k, v))
    z = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return z.transpose(1, 2).unflatten(0, (n_members, n_examples))


def _mask(queried: tuple[int, ...], n_positions: int, device: torch.device) -> Bool[Tensor, "query key"] | None:
    """Which keys a query may see, or None where it sees all."""
    if queried == (n_positions - 1,):
        return None
    at = torch.arange(n_positions, device=device)
    return at <= at[list(queried), None]


def _heads(
    arch: Architecture, block: Weights, which: str, resid: Float[Tensor, "member ... d_model"]
) -> Float[Tensor, "member ... head d_head"]:
    """Queries, keys or values of all heads, from the residual stream."""
    w = block[f"attn.W_{which}"].transpose(1, 2).flatten(2)
    bias = block.get(f"attn.b_{which}")
    return _affine(_normalized(block, "ln1", resid), w, None if bias is None else bias.flatten(1)).unflatten(
        -1, (arch.n_heads, -1)
    )


def _look_up(table: Float[Tensor, "member row d"], row: Int[Tensor, "member ..."]) -> Float[Tensor, "member ... d"]:
    n_members, n_rows, d = table.shape
    first = torch.arange(n_members, device=row.device).view(-1, *[1] * (row.ndim - 1)) * n_rows
    return table.flatten(0, 1).index_select(0, (row + first).flatten()).view(*row.shape, d)


def _affine(
    x: Float[Tensor, "member ... a"], w: Float[Tensor, "member a b"], bias: Float[Tensor, "member b"] | None
) -> Float[Tensor, "member ... b"]:
    flat = x.flatten(1, -2)
    y = flat @ w if bias is None else torch.baddbmm(bias[:, None], flat, w)
    return y.unflatten(1, x.shape[1:-1])


def _normalized(
    weights: Weights, name: str, resid: Float[Tensor, "member ... d_model"]
) -> Float[Tensor, "member ... d_model"]:
    """LayerNorm with the member's own scale and shift, where the architecture has one."""
    if f"{name}.w" not in weights:
        return resid
    w, b = (weights[f"{name}.{x}"].view(resid.shape[0], *[1] * (resid.ndim - 2), -1) for x in "wb")
    return F.layer_norm(resid, resid.shape[-1:], eps=LN_EPS) * w + b
