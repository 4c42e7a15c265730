"""Settings that every test runs under, however pytest was started."""

import gc
import os
import signal
import threading

from hypothesis import HealthCheck, settings

# Set before torch or a hub client is imported: one thread per test process, and no test reaches the network.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Started in the background of a shell, a process and its children ignore Ctrl-C, which some tests send to theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Deadlines measure the machine's load, not our code; the same examples each time make a failure repeatable. Forty
# of them each, as all tests together have to end within half an hour on two cores.
settings.register_profile(
    "grokscope", deadline=None, derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("grokscope")


def pytest_collection_finish() -> None:
    """What the tests have imported stays to the end: the collector need not look at all of it each time."""
    gc.collect()
    gc.freeze()
