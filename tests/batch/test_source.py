"""Lines of a YAML file, and what is said of each kind of mistake in it."""

import enum
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from probe.batch.source import BatchError, explain, load_yaml

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Modular:
    """A plain frozen dataclass, whose fields pydantic validates and whose rules are its own."""

    family: Literal["modular"]
    p: int
    operation: str = "a+b"
    train_fraction: Annotated[float, Field(gt=0, le=1)] = 0.3
    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        if self.p < 2:
            raise ValueError(f"p: got {self.p}; expected 2 or more")
        if self.operation == "a/b" and self.p % 2 == 0:
            raise ValueError("operation: division needs an\n    odd modulus")
        if self.operation == "a^b" and self.p > 1000:
            raise ValueError("p and operation together are too large")


@dataclass(frozen=True)
class Permutation:
    family: Literal["permutation"]
    n: int = 5
    __pydantic_config__ = STRICT


class Weights(BaseModel):
    model_config = STRICT
    name: Literal["weights"]
    weights: list[Annotated[float, Field(ge=0)]] = Field(default=[], max_length=3)
    step: int = Field(default=0, multiple_of=100)


class Spectrum(BaseModel):
    model_config = STRICT
    name: Literal["spectrum"]
    site: str = "embed.W_E"

    @field_validator("site")
    @classmethod
    def site_is_known(cls, site: str) -> str:
        if site not in ("embed.W_E", "unembed.W_U"):
            raise ValueError("site: expected the name of a weight")
        return site


class Adam(BaseModel):
    model_config = STRICT
    beta: float = Field(ge=0, lt=1)


class Muon(BaseModel):
    model_config = STRICT
    momentum: float


class Precision(enum.Enum):
    SINGLE = "float32"
    DOUBLE = "float64"


class Batch(BaseModel):
    model_config = STRICT
    task: Annotated[Modular | Permutation, Field(discriminator="family")]
    probes: list[Annotated[Weights | Spectrum, Field(discriminator="name")]] = Field(min_length=1)
    steps: int | Literal["all"] | list[int] = "all"
    learning_rate: float = 1e-3
    precision: Precision = Precision.SINGLE
    optimizer: Adam | Muon | None = None
    model: Adam | None = None
    widths: dict[str, int] = {}
    others: dict[str, Adam] = {}
    span: tuple[int, float] = (0, 1.0)
    resume: bool = True
    anything: Any = None


GOOD = """\
task:
  family: modular
  p: 113
probes:
  - name: weights
"""


def mistakes(text: str, model: Any = Batch, **options: Any) -> list[str]:
    data, locate = load_yaml(textwrap.dedent(text))
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(model).validate_python(data)
    return explain(caught.value, "batch.yaml", locate, model, **options).split("\n")


# --- load_yaml ---


def test_data_is_what_yaml_says_and_every_field_has_its_line(tmp_path: Path) -> None:
    text = textwrap.dedent("""\
        # a comment
        task:
          p: 113

        probes:
          - name: weights
            weights:
              [1,
               2]
          -
            name: spectrum
        7: x
        """)
    path = tmp_path / "batch.yaml"
    path.write_text(text)
    for source in (text, path):
        data, locate = load_yaml(source)
        assert data == {
            "task": {"p": 113},
            "probes": [{"name": "weights", "weights": [1, 2]}, {"name": "spectrum"}],
            7: "x",
        }
        expected = {
            (): 2,
            ("task",): 2,
            ("task", "p"): 3,
            ("probes",): 5,
            ("probes", 0): 6,
            ("probes", 0, "weights"): 7,
            ("probes", 0, "weights", 1): 9,
            ("probes", 1): 11,
            ("probes", 1, "name"): 11,
            (7,): 12,
        }
        assert {loc: locate(loc) for loc in expected} == expected


def test_a_field_that_is_not_there_has_the_line_of_what_encloses_it() -> None:
    _, locate = load_yaml(GOOD)
    assert locate(("task", "seed")) == 1
    assert locate(("task", "p", "deeper", 3)) == 3
    assert locate(("probes", 0, "step")) == 5
    assert locate(("probes", 7, "name")) == 4
    assert locate(("probes", -1)) == 4
    assert locate(("nowhere", "p")) == 1


def test_an_empty_file_has_one_line() -> None:
    data, locate = load_yaml("# nothing\n")
    assert data is None
    assert locate(("task", "p")) == 1


def test_a_merged_key_has_its_own_line_and_an_overriding_one_comes_first() -> None:
    data, locate = load_yaml("base: &base\n  p: 113\n  seed: 0\ntask:\n  <<: *base\n  seed: 1\n")
    assert data["task"] == {"p": 113, "seed": 1}
    assert locate(("task", "p")) == 2
    assert locate(("task", "seed")) == 6


def test_all_repeated_keys_are_reported_with_both_lines() -> None:
    with pytest.raises(BatchError) as caught:
        load_yaml(
            "a: 1\nb:\n  - c: 1\n    d: 1\n    c: 2\n    c: 3\na: 2\n1: x\n0x1: y\n'1': z\n",
            file="batch.yaml",
        )
    assert str(caught.value).split("\n") == [
        "batch.yaml:5: b[0].c: given twice, first on line 3; expected once",
        "batch.yaml:6: b[0].c: given twice, first on line 3; expected once",
        "batch.yaml:7: a: given twice, first on line 1; expected once",
        "batch.yaml:9: 0x1: given twice, first on line 8; expected once",
    ]


def test_the_same_key_in_two_mappings_is_no_mistake_and_neither_is_an_alias() -> None:
    data, _ = load_yaml("a: &x {c: 1}\nb: {c: 1}\nd: *x\ne: &loop [*loop]\n")
    assert data["d"] == {"c": 1}
    assert data["e"][0] is data["e"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", "batch.yaml:3: not YAML: while parsing a flow sequence"),
        ("a: 1\n\tb: 2\n", "batch.yaml:2: not YAML: while scanning for the next token found character"),
        ("a: *missing\n", "batch.yaml:1: not YAML: found undefined alias"),
        ("a: 1\nb: !!python/name:os.system x\n", "batch.yaml:2: not YAML: could not determine a constructor"),
        ("a: 1\n---\nb: 2\n", "batch.yaml:2: not YAML: expected a single document"),
        ("a: 1\nb: \0\n", "batch.yaml:2: not YAML: special characters are not allowed (character #x0000)"),
        ("a: 1\n[1, 2]: 3\n", "batch.yaml:2: not YAML: while constructing a mapping found unhashable key"),
    ],
)
def test_what_is_not_yaml_is_reported_in_the_same_way(text: str, expected: str) -> None:
    with pytest.raises(BatchError) as caught:
        load_yaml(text, file="batch.yaml")
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "batch.yaml"
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(BatchError, match=r"/batch\.yaml:1: not UTF-8 text \(invalid start byte at byte 3\)"):
        load_yaml(path)
    with pytest.raises(BatchError, match=r"^<text>:1: not YAML"):
        load_yaml("]")
    assert issubclass(BatchError, ValueError)


# --- explain ---


def test_every_mistake_is_reported_at_once_in_the_order_of_the_file() -> None:
    found = mistakes("""\
        optimiser: {beta: 1}
        task:
          family: modular
          p: 113.5
          train_fracton: 0.5
        probes:
          - name: weigths
          - name: spectrum
            sight: embed.W_E
        steps: al
        """)
    assert found == [
        "batch.yaml:1: optimiser: got an unknown field; expected one of task, probes, steps, learning_rate, "
        "precision, optimizer, model, widths, others, span, resume, anything (did you mean 'optimizer'?)",
        "batch.yaml:4: task.p: got 113.5; expected a whole number",
        "batch.yaml:5: task.train_fracton: got an unknown field; expected one of family, p, operation, "
        "train_fraction (did you mean 'train_fraction'?)",
        "batch.yaml:7: probes[0].name: got 'weigths'; expected 'spectrum' or 'weights' (did you mean 'weights'?)",
        "batch.yaml:9: probes[1].sight: got an unknown field; expected one of name, site (did you mean 'site'?)",
        "batch.yaml:10: steps: got 'al'; expected a whole number, 'all' or a list (each a whole number) "
        "(did you mean 'all'?)",
    ]


TASK = "task: {family: modular, p: 113}\n"
ONE_PROBE = "probes: [{name: weights}]\n"
REST = TASK + ONE_PROBE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # missing fields: the line is that of what should hold them
        (ONE_PROBE + "task:\n  family: modular\n", "2: task.p: got nothing; expected a whole number"),
        (TASK, "1: probes: got nothing; expected a list of at least 1 "
               "(each a mapping whose name is 'spectrum' or 'weights')"),
        (REST + "span: [1]\n", "3: span[1]: got nothing; expected a number"),
        # union tags
        (ONE_PROBE + "task:\n  p: 7\n  family: MODULAR\n", "4: task.family: got 'MODULAR'; "
         "expected 'modular' or 'permutation' (did you mean 'modular'?)"),
        (ONE_PROBE + "task:\n  p: 7\n", "2: task.family: got nothing; expected 'modular' or 'permutation'"),
        (ONE_PROBE + "task: 7\n",
         "2: task: got 7; expected a mapping whose family is 'modular' or 'permutation'"),
        # bounds
        (ONE_PROBE + "task:\n  family: modular\n  p: 7\n  train_fraction: 1.5\n",
         "5: task.train_fraction: got 1.5; expected a number above 0 and at most 1"),
        (TASK + "probes: []\n", "2: probes: got an empty list; expected a list of at least 1 "
                                "(each a mapping whose name is 'spectrum' or 'weights')"),
        (TASK + "probes:\n- name: weights\n  weights:\n  - 1\n  - -2\n",
         "6: probes[0].weights[1]: got -2; expected a number at least 0"),
        (TASK + "probes:\n- name: weights\n  weights: [1, 2, 3, 4]\n",
         "4: probes[0].weights: got a list of 4; expected a list of at most 3 (each a number at least 0)"),
        # a field that has the name of its union's tag
        (TASK + "probes:\n- name: weights\n  weights: [1]\n  step: 150\n",
         "5: probes[0].step: got 150; expected a whole number a multiple of 100"),
        # choices
        (REST + "precision: float23\n",
         "3: precision: got 'float23'; expected 'float32' or 'float64' (did you mean 'float32'?)"),
        (REST + "precision: half\n", "3: precision: got 'half'; expected 'float32' or 'float64'"),
        # types
        (REST + "learning_rate: fast\n", "3: learning_rate: got 'fast'; expected a number"),
        (REST + "learning_rate:\n", "3: learning_rate: got null; expected a number"),
        (REST + "learning_rate: {}\n", "3: learning_rate: got an empty mapping; expected a number"),
        (REST + "resume: maybe\n", "3: resume: got 'maybe'; expected true or false"),
        (REST + "widths: {a: 1, b: x}\n", "3: widths.b: got 'x'; expected a whole number"),
        (REST + "widths: {5: 1}\n", "3: widths[5]: got 5; expected a valid string"),
        (REST + "model: true\n", "3: model: got true; expected a mapping with beta or null"),
        (REST + "model: {beta: x}\n", "3: model.beta: got 'x'; expected a number at least 0 and below 1"),
        (REST + "span: {a: 1}\n",
         "3: span: got a mapping of a; expected a list of a whole number and a number"),
        ("", "1: got null; expected a mapping with task, probes, steps, learning_rate, precision, "
             "optimizer, model, widths, others, span, resume, anything"),
        # unions without a tag
        (REST + "steps:\n- 1\n- x\n", "5: steps[1]: got 'x'; expected a whole number"),
        (REST + "optimizer: 3\n",
         "3: optimizer: got 3; expected a mapping with beta, a mapping with momentum or null"),
        # what the classes themselves find
        (ONE_PROBE + "task:\n  family: modular\n  p: 1\n", "4: task.p: got 1; expected 2 or more"),
        (ONE_PROBE + "task:\n  family: modular\n  operation: a/b\n  p: 4\n",
         "4: task.operation: got 'a/b'; division needs an odd modulus"),
        (ONE_PROBE + "task:\n  family: modular\n  operation: a^b\n  p: 1009\n",
         "2: task: p and operation together are too large"),
        (TASK + "probes:\n- name: spectrum\n  site: embed.W_F\n",
         "4: probes[0].site: got 'embed.W_F'; expected the name of a weight"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_line(text: str, expected: str) -> None:
    assert mistakes(text) == [f"batch.yaml:{expected}"]


def test_in_a_union_without_a_tag_each_member_says_what_it_lacks() -> None:
    assert mistakes(REST + "optimizer: {momentun: 1}\n") == [
        "batch.yaml:3: optimizer.beta: got nothing; expected a number at least 0 and below 1",
        "batch.yaml:3: optimizer.momentun: got an unknown field; expected one of beta",
        "batch.yaml:3: optimizer.momentum: got nothing; expected a number",
        "batch.yaml:3: optimizer.momentun: got an unknown field; expected one of momentum (did you mean 'momentum'?)",
    ]


def test_a_key_and_its_value_can_both_be_wrong() -> None:
    assert mistakes(REST + "others:\n  5:\n    beta: 2\n") == [
        "batch.yaml:4: others[5]: got 5; expected a valid string",
        "batch.yaml:5: others[5].beta: got 2; expected a number at least 0 and below 1",
    ]


def test_other_sources_of_choices_are_asked_with_the_path_that_is_shown() -> None:
    asked: list[object] = []

    def choices(path: tuple[str | int, ...]) -> list[str]:
        asked.append(path)
        return ["embed.W_E", "unembed.W_U"]

    text = TASK + "probes:\n- name: spectrum\n  site: unenbed.W_U\n"
    assert mistakes(text, choices=choices) == [
        "batch.yaml:4: probes[0].site: got 'unenbed.W_U'; expected the name of a weight (did you mean 'unembed.W_U'?)"
    ]
    assert asked == [("probes", 0, "site")]
    assert mistakes(text, choices=lambda path: ["unenbed.W_U"])[0].endswith("expected the name of a weight"), (
        "what was given is no suggestion"
    )


def test_a_suggestion_is_not_made_twice() -> None:
    @dataclass(frozen=True)
    class Helpful:
        kind: Literal["one", "two"] = "one"
        other: str = field(default="")

        def __post_init__(self) -> None:
            raise ValueError(f"other: got {self.other!r}; expected 'x' (did you mean 'x'?)")

    assert mistakes("other: xx", Helpful, choices=lambda path: ["xxx"]) == [
        "batch.yaml:1: other: got 'xx'; expected 'x' (did you mean 'x'?)"
    ]


def test_a_message_of_pydantics_own_is_kept_where_the_schema_has_no_words() -> None:
    finite = Annotated[float, Field(allow_inf_nan=False)]
    assert mistakes("x: .inf", dict[str, finite]) == ["batch.yaml:1: x: got inf; expected a finite number"]
    assert mistakes("a: 3", dict[str, Annotated[str, Field(pattern="^a")]]) == ["batch.yaml:1: a: got 3; expected text"]
    assert mistakes("a: bcd", dict[str, Annotated[str, Field(pattern="^a")]]) == [
        "batch.yaml:1: a: got 'bcd'; String should match pattern '^a'"
    ]


def test_a_number_that_yaml_takes_for_text_is_no_mistake() -> None:
    data, _ = load_yaml(GOOD + "learning_rate: 3e-3\n")
    assert data["learning_rate"] == "3e-3"
    assert Batch.model_validate(data).learning_rate == 0.003
