"""``report.json`` as a page for people. Every figure comes from it; what was not measured is said to be so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Report = Mapping[str, Any]

_PICTURES = {"learning_curve.png": "Learning curve", "confusion_matrix.png": "Confusion matrix"}


def markdown(report: Report, files: Sequence[str]) -> str:
    """The whole page. ``files`` are the names beside it, so that only pictures that are there are shown."""
    parts = [
        f"# {report['study']}, trial {report['trial']}: {report['exported']}",
        _verdict(report),
        _scores(report),
        _chosen(report),
        _hyperparameters(report),
        _superclass(report),
        _top_classes(report),
        _per_class(report),
        *[f"![{title}]({name})" for name, title in _PICTURES.items() if name in files],
        _origin(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def percent(value: float | None) -> str:
    """``86.28 %``."""
    return "not measured" if value is None else f"{100 * value:.2f} %"


def with_interval(metrics: Mapping[str, Any]) -> str:
    """Accuracy with its 95 % interval, where it has one."""
    interval = metrics.get("accuracy_ci95")
    return percent(metrics.get("accuracy")) + (
        f" ({percent(interval[0])} to {percent(interval[1])})" if interval else ""
    )


def _verdict(report: Report) -> str:
    test = report["test"]
    if not test:
        value = f"{report['metric']} {report['value']:.4f} of trial {report['trial']}"
        looks = report["test_openings"]
        opened = f"The test set was opened {looks} time(s) in this study" if looks else "The test set was never opened"
        return (
            f"{opened}; no test figure is part of this export. What is known: {value}. It is the best of several "
            "trials on the same images and so a little too good."
        )
    look = report["test_openings"]
    lines = [f"**Test accuracy {with_interval(test)}**, 95 % interval, look no. {look} at the test set."]
    lines += [f"- {name}: {percent(score)}" for name, score in report["references"].items()]
    return "\n".join(lines)


def _scores(report: Report) -> str:
    columns = {name: report[name] for name in ("validation", "test") if report[name]}
    if not columns:
        return ""
    wanted = [
        ("accuracy", "accuracy"),
        ("top5_accuracy", "top-5 accuracy"),
        ("macro_precision", "macro precision"),
        ("macro_recall", "macro recall"),
        ("macro_f1", "macro F1"),
        ("weighted_precision", "weighted precision"),
        ("weighted_recall", "weighted recall"),
        ("weighted_f1", "weighted F1"),
        ("nll", "negative log-likelihood"),
        ("ece", "calibration error"),
        ("n", "images"),
    ]
    rows = []
    for key, title in wanted:
        values = [columns[name].get(key) for name in columns]
        if any(value is not None for value in values):
            rows.append([title, *("" if v is None else f"{v}" if key == "n" else f"{v:.4f}" for v in values)])
    note = f"\n\n{_spent(report)}" if len(columns) == 2 and report["exported"] == "refit" else ""
    return "## Scores\n\n" + _table(["", *columns], rows) + note


def _spent(report: Report) -> str:
    size, trained = report["size"], (report["training"] or {}).get("train_images")
    searched = (report["data"] or {}).get("train")
    small = f" ({searched:,} images, {size['epochs']} epochs)" if searched else ""
    large = f" ({trained:,} images, {size['refit_epochs']} epochs)" if trained else ""
    return (
        f"Validation is of the trial chosen{small}; test is of the refit{large}, which has seen the validation images."
    )


def _chosen(report: Report) -> str:
    chosen = report["chosen"]
    states = ", ".join(f"{count} {state}" for state, count in chosen["states"].items())
    lines = [f"- {chosen['from']} trials ({states}); chosen: {chosen['how']}"]
    for number, first in enumerate(chosen["first"]):
        if first:
            what = "what we would train unsearched" if number == 0 else "tried before the sampler"
            lines.append(f"- first[{number}] ({what}), trial {first['number']}: {_value(first)}")
    if chosen["control"]:
        lines.append(
            f"- from scratch at equal budget (the control), "
            f"trial {chosen['control']['number']}: {_value(chosen['control'])}"
        )
    source = report["source"]
    if source:
        lines.append(
            f"- source of the weights: {'the refit of ' if source['refit'] else ''}trial {source['trial']} of "
            f"{source['study']} (SHA-256 {source['sha256'][:16]}…)"
        )
    return "## How it was chosen\n\n" + "\n".join(lines)


def _value(trial: Mapping[str, Any]) -> str:
    return f"{trial['value']:.4f} ({trial['state']})" if trial["value"] is not None else str(trial["state"])


def _hyperparameters(report: Report) -> str:
    found = report["hyperparameters"].items()
    rows = [[f"`{name}`", f"{value:.6g}" if isinstance(value, float) else f"{value}"] for name, value in found]
    return "## Hyperparameters\n\n" + _table(["name", "value"], rows) if rows else ""


def _superclass(report: Report) -> str:
    found = (report["test"] or report["validation"] or {}).get("superclass")
    if not found:
        return ""
    return (
        "## Superclasses\n\n"
        f"- accuracy of the predicted class's superclass: {percent(found['accuracy_of_predicted_class'])}\n"
        f"- of the superclass with the highest summed probability: "
        f"{percent(found['accuracy_of_summed_probabilities'])}\n"
        f"- wrong predictions that stay in the right superclass: {percent(found['errors_inside'])}"
    )


_TOP = {
    "support": "by support, ties by class index, scored on all images",
    "predicted": "by how often the model predicts them, scored on all images",
    "conditional_on_true_class": "the notebooks' table: only images of these classes kept before scoring, so that the "
    "others' false positives vanish and precision and F1 are too high",
}


def _top_classes(report: Report) -> str:
    top = (report["test"] or report["validation"] or {}).get("top_classes")
    if not top:
        return ""
    parts = ["## The 20 most common classes, three ways"]
    if top["balanced"]:
        parts.append("All classes are equally common here, so that support ranks nothing and ties decide.")
    for key, title in _TOP.items():
        table = top[key]
        means = ", ".join(f"{score} {table[f'macro_{score}']:.4f}" for score in ("precision", "recall", "f1"))
        parts.append(f"### `{key}`: {title}\n\nMacro {means}.\n\n{_class_table(table['classes'])}")
    return "\n\n".join(parts)


def _per_class(report: Report) -> str:
    rows = (report["test"] or report["validation"] or {}).get("per_class")
    return "## Classes\n\n" + _class_table(rows) if rows else ""


def _class_table(rows: Sequence[Mapping[str, Any]]) -> str:
    scores = ("precision", "recall", "f1")
    return _table(
        ["class", *scores, "support", "predicted"],
        [[row["name"], *(f"{row[s]:.3f}" for s in scores), str(row["support"]), str(row["predicted"])] for row in rows],
    )


def _origin(report: Report) -> str:
    environment, cost, data, model = report["environment"], report["cost"], report["data"] or {}, report["model"]
    lines = [
        f"- study `{report['study']}`, objective `{report['objective']}`, size {report['size']['name']}",
        f"- seeds: {', '.join(f'{name} {seed}' for name, seed in report['seeds'].items())}",
        f"- trained {cost['seconds']:.0f} s in {cost['epochs']} epochs; {cost['epochs_repeated']} of them "
        f"({cost['seconds_lost']:.0f} s) were repeated after {cost['interruptions']} interruptions",
        *[f"- data {name}: {value}" for name, value in data.items()],
    ]
    if model:
        digest, parameters = model.get("sha256", "unknown"), model.get("parameters") or "unknown"
        lines.append(f"- `{model['file']}`: SHA-256 `{digest}`, {parameters} parameters")
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    lines += [
        f"- Python {environment['python']}, {versions}",
        f"- {environment['platform']}, {environment['cores']} cores, revision {environment['revision'] or 'unknown'}",
    ]
    return "## Where it comes from\n\n" + "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
