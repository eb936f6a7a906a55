"""A plain function as anybody's own training may be, in microseconds: it goes on from its run's checkpoint.

Its curve is accumulated in the checkpoint, so that a resume from anywhere but the last state shows in the values.
"""

import json
import os
import time

import search


def curve(x: float, steps: int) -> list[float]:
    total, values = 0.0, []
    for step in range(1, steps + 1):
        total += x / step
        values.append(total)
    return values


def objective(trial):  # type: ignore[no-untyped-def]
    x = trial.suggest_float("x", 0.0, 1.0)
    run = search.run(trial)
    as_folder = os.environ.get("RESUMABLE_FOLDER") == "1"
    state = {"step": 0, "total": 0.0}
    if run.checkpoint:
        state = json.loads((run.checkpoint / "state.json" if as_folder else run.checkpoint).read_text())
    assert run.step == state["step"], (run.step, state)
    print(f"begins at {run.step} as {run.id}", flush=True)
    for step in range(run.step + 1, int(os.environ.get("RESUMABLE_STEPS", "4")) + 1):
        end = time.monotonic() + float(os.environ.get("RESUMABLE_PAUSE", "0"))
        while time.monotonic() < end and not run.stopping():
            time.sleep(0.005)
        if run.stopping():
            break
        state = {"step": step, "total": state["total"] + x / step}
        path = run.file("checkpoint/state.json" if as_folder else "state.json")
        path.write_text(json.dumps(state))
        checkpoint = path.parent if as_folder else path
        if not run.report(step, state["total"], checkpoint=checkpoint, rmse=1 / step):
            break
        if os.environ.get("RESUMABLE_MOOD") == "dies":
            os.kill(os.getpid(), 9)
    print(f"ends as {run.ended}", flush=True)
    (run.model / "weights.json").write_text(json.dumps({"refit": run.refit, "x": x, **state}))
    return state["total"]
