"""Where models run."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def default_device() -> str:
    """CUDA where there is a GPU, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def device_here(asked: "str | torch.device | None") -> str:
    """The device that was asked for, if it is here; the default one, if none was.

    Raises:
        ValueError: there is no such device.
    """
    import torch

    if asked is None:
        return default_device()
    try:
        device = torch.device(asked)
        torch.empty(1, device=device).cpu()
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device: got {asked!r}; expected one that is here, such as {default_device()!r}") from error
    return str(device)
