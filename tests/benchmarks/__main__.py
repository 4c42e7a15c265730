"""Run all benchmarks and print one table. One torch thread, and a GPU as well where there is one."""

import torch
from rich.console import Console
from rich.table import Table

from tests.benchmarks import (
    capture,
    circuits,
    corpus,
    formation,
    linear,
    memorization,
    patching,
    scaling,
    start,
    structure,
    training,
    viewer,
)


def main() -> None:
    torch.set_num_threads(1)
    table = Table("compared", "measured", "wanted", "device")
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        for row in [*training.rows(device), *capture.rows(device), *structure.rows(device)]:
            table.add_row(*row, device)
    for row in [
        *linear.rows(),
        *circuits.rows(),
        *formation.rows(),
        *patching.rows(),
        *memorization.rows(),
        *corpus.rows(),
        *scaling.rows(),
        *start.rows(),
        *viewer.rows(),
    ]:
        table.add_row(*row, "cpu")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
