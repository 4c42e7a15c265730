"""Batches of a few seconds whose runs the viewer is asked about: two sizes, of one layer and of two; and facts."""

from unittest.mock import patch

import probe

ARGUMENTS = {"n_pairs": 40, "operand": 1, "ablation": "mean", "steps": 3, "seed": 3}
BATCH = {
    "name": "small",
    "suite": {
        "source": "train",
        "task": {"p": 11, "operation": "a+b", "train_fraction": 0.7},
        "shapes": [{"d_model": 8, "n_heads": 2}, {"d_model": 12, "n_heads": 2, "n_layers": 2}],
        "vary": {"seed": [0], "learning_rate": [3e-2], "weight_decay": [1.0]},
        "training": {"steps": 180, "checkpoints": {"log_until": 0, "every": 60}},
    },
    "probes": [
        "performance",
        "key_frequencies",
        "fourier_progress",
        {"name": "final_circuit", "args": ARGUMENTS},
        {"name": "circuit_formation", "args": ARGUMENTS | {"n_random": 4}},
    ],
}
FACTS = {
    "name": "facts",
    "suite": {
        "source": "train",
        "task": {
            "family": "facts",
            "n": 30,
            "relations": 2,
            "values": 4,
            "phrasings": 2,
            "frequency": {"kind": "zipf", "total": 300},
        },
        "shapes": [{"d_model": 8, "n_heads": 2}],
        "vary": {"seed": [0], "learning_rate": [1e-2], "weight_decay": [1.0]},
        "training": {"steps": 20, "batch_size": 32, "checkpoints": {"log_until": 0, "every": 10}},
    },
    "probes": ["performance", "recall"],
}


def made(batch, folder):
    """A run of a batch, without its report, which would take most of the time."""
    with patch("probe.batch.run.write_report_of"):
        return probe.run(probe.Batch.model_validate(batch), folder, workers=1, progress=False)
