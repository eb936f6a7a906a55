"""What this machine has, as far as a training process is given it: cores, GPUs, memory."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

_CGROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_CPUINFO = Path("/proc/cpuinfo")
_AMPERE = 8.0
"""The compute capability of the first GPUs with bfloat16."""


def cores() -> int:
    """Those that this process may use."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        count = os.cpu_count() or 1
    return within_quota(count, cpu_quota())


def within_quota(count: int, quota: float) -> int:
    """Whole cores: less than one is one."""
    return max(1, int(min(count, quota)))


def cpu_quota(cgroups: Path = _CGROUPS, own: Path = _OWN) -> float:
    """So many cores' time may this process's control group use, or one of those that it lies in; else infinite."""
    return min(
        [
            _quota(folder)
            for path in _groups(own, "cpu")
            for folder in _up_to_the_root(cgroups, path, "cpu", "cpu,cpuacct")
        ],
        default=math.inf,
    )


def _groups(own: Path, controller: str) -> list[str]:
    """Paths of this process's control groups for this controller; the root's last.

    Inside a container a group's own path may be hidden: its root is ours.
    """
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines() if line.count(":") > 1]
    except OSError:
        lines = []
    return [*(path.lstrip("/") for _, names, path in lines if not names or controller in names.split(",")), ""]


def _up_to_the_root(cgroups: Path, path: str, *mounts: str) -> list[Path]:
    """The group's folder and those that it lies in, wherever its controller is mounted."""
    groups = [Path(path), *Path(path).parents]
    return [cgroups / mount / group for mount in ("", "unified", *mounts) for group in groups]


def _quota(group: Path) -> float:
    """Of one control group, of version 2 or 1."""
    files = (group / "cpu.max",), (group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us")
    for parts in files:
        try:
            quota, period = (float(word) for part in parts for word in part.read_text().split())
        except (OSError, ValueError):  # not there, or "max"
            continue
        if quota > 0 and period > 0:
            return quota / period
    return math.inf


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that an NVIDIA driver shows and CUDA_VISIBLE_DEVICES leaves visible; none without a driver."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(part for part in chosen.split(",") if part.strip() and part.strip() != "-1")
    return tuple(str(index) for index, line in enumerate(_nvidia_smi("-L")) if line.startswith("GPU "))


def has_bfloat16(gpus: Sequence[str] = (), cpuinfo: Path = _CPUINFO) -> bool:
    """Whether these GPUs multiply in bfloat16, or without any the processor does."""
    if gpus:
        found = _nvidia_smi("-i", ",".join(gpus), "--query-gpu=compute_cap", "--format=csv,noheader")
        try:
            return min(float(line) for line in found) >= _AMPERE
        except ValueError:  # nothing, or not a number
            return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(_processor(cpuinfo).get("flags", "").split())


def processor() -> str:
    """Its name; "unknown" where the system does not tell."""
    return _processor(_CPUINFO).get("model name", "unknown")


def _processor(cpuinfo: Path) -> dict[str, str]:
    """What Linux says of the last core."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:  # not on macOS
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _nvidia_smi(*arguments: str) -> list[str]:
    """The lines that it prints; none without a driver."""
    try:
        done = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines()


def memory(cgroups: Path = _CGROUPS, own: Path = _OWN) -> float:
    """Bytes that this process may use: the machine's, or what its control groups allow. Infinite: nobody tells."""
    try:
        installed: float = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on Windows
        installed = math.inf
    allowed = [
        _limit(folder / name)
        for path in _groups(own, "memory")
        for folder in _up_to_the_root(cgroups, path, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
    ]
    return min([installed, *allowed])


def _limit(file: Path) -> float:
    try:
        return float(file.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return math.inf


def peak_memory(pid: int | str = "self") -> int:
    """Bytes that a process had in memory at most, pages shared with others included. 0: gone, or not on Linux."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def out_of_memory_kills(cgroups: Path = _CGROUPS, own: Path = _OWN) -> int:
    """How often the kernel has killed for memory in this process's control group; 0 where it does not tell."""
    for path in _groups(own, "memory"):
        for file in (cgroups / path / "memory.events", cgroups / "memory" / path / "memory.oom_control"):
            try:
                words = dict(line.split(" ", 1) for line in file.read_text().splitlines() if " " in line)
            except OSError:
                continue
            if "oom_kill" in words:
                return int(words["oom_kill"])
    return 0
