"""What this machine has, as far as a training process is given it: cores, GPUs, memory."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def cores() -> int:
    """Those that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that an NVIDIA driver shows and CUDA_VISIBLE_DEVICES leaves visible; none without a driver."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(part for part in chosen.split(",") if part.strip() and part.strip() != "-1")
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(str(index) for index, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU "))


def out_of_memory_kills(cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """How often the kernel has killed for memory in this process's control group; 0 where it does not tell."""
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        lines = []
    paths = [path.lstrip("/") for _, controllers, path in lines if controllers in {"", "memory"}]
    for path in [*paths, ""]:  # inside a container the group's own path may be hidden: its root is ours
        for file in (cgroups / path / "memory.events", cgroups / "memory" / path / "memory.oom_control"):
            try:
                words = dict(line.split(" ", 1) for line in file.read_text().splitlines() if " " in line)
            except OSError:
                continue
            if "oom_kill" in words:
                return int(words["oom_kill"])
    return 0
