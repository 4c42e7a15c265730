"""All transformers whose circuit is known, to test what finds circuits on.

    @pytest.mark.parametrize("program", PROGRAMS, ids=str)
    def test(program):
        model, pairs = program.model(), program.pairs(20, seed=0)
        circuit = found(model, pairs, program.metric)
        assert {str(edge) for edge, _ in circuit.edges()} == program.known_edges

``known_edges`` is the circuit where edges are replaced by what they are on other questions, or by the mean of that at
each position; ``known_edges | fixed_edges`` where they are replaced by 0. Every other edge has exactly no effect, alone
or with others. ``flat_edges`` are those of ``known_edges`` of which a gradient on clean questions says
nothing.
"""

from tests.circuits.programs.clock import CLOCK
from tests.circuits.programs.compiled import COMPILED
from tests.circuits.programs.induction import INDUCTION
from tests.circuits.programs.previous_token import PREVIOUS_TOKEN

WRITTEN = (PREVIOUS_TOKEN, INDUCTION, CLOCK)
"""Those whose weights were written by hand."""
PROGRAMS = (*WRITTEN, *(program for _, program in COMPILED))
