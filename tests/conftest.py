"""Settings that every test runs under, however pytest was started."""

import os

from hypothesis import HealthCheck, settings

# Set before torch or a hub client is imported: one thread per test process, and no test reaches the network.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Deadlines measure the machine's load, not our code; the same examples each time make a failure repeatable.
settings.register_profile("grokscope", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("grokscope")
