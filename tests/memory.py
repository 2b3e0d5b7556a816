"""The memory that a call takes for tensors, as torch counts it: the same on each machine."""

from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity


def most_bytes_held(call: Callable[[], object]) -> int:
    """Return the largest number of bytes that tensors made in a call hold at once."""
    options = {"activities": [ProfilerActivity.CPU], "profile_memory": True, "acc_events": True}
    with torch.profiler.profile(**options) as profile:
        call()
    events: Any = profile.profiler
    changes = [x.nbytes() for x in events.kineto_results.events() if x.name() == "[memory]"]
    return int(torch.tensor(changes).cumsum(0).max())
