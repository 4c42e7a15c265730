"""Where models run."""


def default_device() -> str:
    """CUDA where there is a GPU, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
