"""Writes ``compiled/``: RASP programs compiled by tracr into weights of our architecture, with what tracr answers.

The tests read what is written and need neither tracr nor jax; this is run by hand, in an environment of its own that
has grokscope and ``pip install tracr-pypi==1.0.0`` (which brings jax and haiku), from the root of the repository:

    python -m tests.circuits.programs.compile_with_tracr

For each program it writes ``config.json`` (architecture, tokens, output values), ``weights.safetensors``, and
``outputs.json``: all inputs of full length, and what tracr's own model answers to them. It stops if our model does not
have the residual stream that tracr's has after the last block, or its outputs, to 1e-5 at every position of every
input; if tracr's model does not answer what the RASP program says; or if weights are larger than 300 kB.

Tracr (Lindner et al. 2023, arXiv 2301.05062; Apache-2.0) compiles RASP (Weiss et al. 2021, arXiv 2106.06981). The
weights are its output.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import torch
from einops import rearrange
from safetensors.torch import save_file
from tracr.compiler import compiling, lib
from tracr.rasp import causal_eval, rasp

from probe.suites.architecture import Architecture
from probe.suites.hooked import HookedTransformer

HERE = Path(__file__).parent / "compiled"
BOS = compiling.COMPILER_BOS
MOST_BYTES = 300_000
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Rasp:
    """A RASP program, the tokens and the length that it is compiled for, and all inputs that it is defined on."""

    name: str
    program: Callable[[], rasp.SOp]
    vocab: tuple[Any, ...]
    length: int
    causal: bool
    inputs: Iterable[tuple[Any, ...]]


PROGRAMS = (
    Rasp(
        "fraction_of_x",
        lambda: lib.make_frac_prevs((rasp.tokens == "x").named("is_x")),
        ("x", "y", "z"),
        5,
        True,
        product("xyz", repeat=5),
    ),
    Rasp(
        "detect_abc",
        lambda: lib.detect_pattern(rasp.tokens, "abc"),
        ("a", "b", "c"),
        5,
        True,
        product("abc", repeat=5),
    ),
    Rasp(
        "sort",
        lambda: lib.make_sort_unique(rasp.tokens, rasp.tokens),
        (1, 2, 3, 4, 5),
        4,
        False,
        permutations((1, 2, 3, 4, 5), 4),
    ),
)


def converted(compiled: Any, causal: bool) -> tuple[Architecture, dict[str, torch.Tensor]]:
    """The weights of tracr's model by our names; its biases are all 0, so the architecture has none."""
    config, params = compiled.model_config, compiled.params
    biases = [of["b"] for name, of in params.items() if name.startswith("transformer/")]
    assert not any(np.any(b) for b in biases), "tracr's model has biases; expected none"
    assert not config.layer_norm
    assert config.activation_function is jax.nn.relu
    W_E, W_pos = (params[name]["embeddings"] for name in ("token_embed", "pos_embed"))

    @hk.without_apply_rng
    @hk.transform
    def unembed(x: jax.Array) -> jax.Array:
        return compiled.get_compiled_model().unembed(x, use_unembed_argmax=False)

    W_U = np.asarray(unembed.apply(params, jnp.eye(W_E.shape[1]))).reshape(W_E.shape[1], -1)
    arch = Architecture(
        d_model=W_E.shape[1],
        n_layers=config.num_layers,
        n_heads=config.num_heads,
        d_head=config.key_size,
        d_mlp=config.mlp_hidden_size,
        d_vocab=W_E.shape[0],
        n_ctx=W_pos.shape[0],
        d_vocab_out=W_U.shape[1],
        causal=causal,
    )
    weights = {"embed.W_E": W_E, "pos_embed.W_pos": W_pos, "unembed.W_U": W_U}
    for layer in range(config.num_layers):
        theirs, ours = f"transformer/layer_{layer}", f"blocks.{layer}"
        for part, name in (("query", "W_Q"), ("key", "W_K"), ("value", "W_V")):
            stacked = np.asarray(params[f"{theirs}/attn/{part}"]["w"])
            weights[f"{ours}.attn.{name}"] = rearrange(stacked, "d (h e) -> h d e", h=config.num_heads)
        out = np.asarray(params[f"{theirs}/attn/linear"]["w"])
        weights[f"{ours}.attn.W_O"] = rearrange(out, "(h e) d -> h e d", h=config.num_heads)
        weights[f"{ours}.mlp.W_in"] = params[f"{theirs}/mlp/linear_1"]["w"]
        weights[f"{ours}.mlp.W_out"] = params[f"{theirs}/mlp/linear_2"]["w"]
    as_ours = {name: torch.tensor(np.asarray(weights[name]), dtype=torch.float32) for name in arch.shapes}
    return arch, {name: weight.contiguous() for name, weight in as_ours.items()}


def expected(of: Rasp, xs: tuple[Any, ...]) -> list[Any]:
    """What the program says, by tracr's interpreter of RASP."""
    return list((causal_eval.evaluate if of.causal else rasp.DefaultRASPEvaluator().evaluate)(of.program(), xs))


def checked_outputs(of: Rasp, compiled: Any, model: HookedTransformer) -> dict[str, Any]:
    """All inputs, and what tracr answers to them, at all positions but that of BOS.

    Raises:
        AssertionError: tracr's model and ours differ, or tracr's model and the program do.
    """
    inputs, outputs = [], []
    values = getattr(compiled.output_encoder, "encoding_map", None)
    for xs in of.inputs:
        tokens = compiled.input_encoder.encode([BOS, *xs])
        theirs = compiled.apply([BOS, *xs])
        with torch.no_grad():
            logits, cache = model.run_with_cache(torch.tensor([tokens]))
        stream = cache[f"blocks.{model.arch.n_layers - 1}.hook_resid_post"].numpy()
        np.testing.assert_allclose(stream, np.asarray(theirs.transformer_output), atol=TOLERANCE)
        found = np.asarray(theirs.unembedded)[0, 1:]
        said = expected(of, xs)
        if values is None:
            np.testing.assert_allclose(logits[0, 1:, 0].numpy(), found, atol=TOLERANCE)
            np.testing.assert_allclose(found, said, atol=TOLERANCE)
            outputs.append([round(float(x), 7) for x in found])
        else:
            assert logits[0, 1:].argmax(-1).tolist() == found.tolist(), xs
            # None is what a program says where it is not defined
            assert all(y is None or values[y] == x for x, y in zip(found.tolist(), said, strict=True)), (
                xs,
                found,
                said,
            )
            outputs.append([None if y is None else x for x, y in zip(found.tolist(), said, strict=True)])
        inputs.append(tokens)
    return {"inputs": inputs, "outputs": outputs}


def main() -> None:
    for of in PROGRAMS:
        compiled = compiling.compile_rasp_to_model(of.program(), set(of.vocab), of.length, causal=of.causal)
        arch, weights = converted(compiled, of.causal)
        found = checked_outputs(of, compiled, HookedTransformer.with_weights(arch, weights))
        folder = HERE / of.name
        folder.mkdir(parents=True, exist_ok=True)
        tokens, values = (
            list(encoder.encoding_map) if hasattr(encoder, "encoding_map") else None
            for encoder in (compiled.input_encoder, compiled.output_encoder)
        )
        config = {
            "architecture": arch.to_dict(),
            "tokens": tokens,
            "output_values": values,
            "residual_stream": compiled.residual_labels,
            "compiled_by": "tracr-pypi 1.0.0",
        }
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        (folder / "outputs.json").write_text(json.dumps(found, separators=(",", ":")) + "\n")
        save_file(weights, folder / "weights.safetensors")
        size = (folder / "weights.safetensors").stat().st_size
        assert size < MOST_BYTES, f"{of.name}: {size} bytes"
        print(f"{of.name}: {len(found['inputs'])} inputs agree, {arch.n_params} parameters, {size} bytes")


if __name__ == "__main__":
    main()
