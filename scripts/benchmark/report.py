"""Tables in Markdown, made of the results alone."""

import statistics

from . import growth
from .base import DOCS
from .goals import OURS, verdicts
from .measure import TOTALS

HEAD = """# Results of scripts/bench

Written by `scripts/bench`; how it measures is in [performance.md](../performance.md), all values are in
[results.json](results.json). Medians, with minimum and maximum in brackets. A ratio is made run by run, of sides that
took turns; below 1, filescomfs is quicker.
"""


def write(results, folder=DOCS):
    folder.mkdir(parents=True, exist_ok=True)
    grown = growth.load(folder)
    text = "\n".join([HEAD, *goals(results, growth.verdicts(grown)), *times(results), *growing(grown),
                      *costs(results), *flags(results), *origins(results)])
    (folder / "results.md").write_text(text + "\n")
    return text


def spread(values, digits=2):
    middle = statistics.median(values)
    if len(values) == 1:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(*head):
    return ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def verdict_word(verdict):
    return {True: "met", False: "**missed**", None: "not measured"}[verdict.met]


def goals(results, more):
    lines = ["## Goals", "", "Goals are set for scale 1.", "", *table("scenario", "goal", "measured", "", "scale")]
    for verdict in [*verdicts(results), *more]:
        measured = verdict.told or (spread(verdict.values, 3) + verdict.unit if verdict.values else "–")
        lines.append(row(verdict.number, verdict.words, measured, verdict_word(verdict), scales(results, verdict)))
    return [*lines, "", "![goals](goals.svg)", ""]


def scales(results, verdict):
    """Of the scenarios that a goal takes its values from."""
    found = {results[number]["scale"] for number in verdict.taken_from(results)}
    return ", ".join(f"{scale:g}" for scale in sorted(found))


def times(results):
    lines = ["## Times", "", *table("scenario", "side", "seconds", "filescomfs / side", "CPU, s", "peak, MiB")]
    for number, scenario in results.items():
        first = f"{number}. {scenario['title']}"
        for name, side in scenario["sides"].items():
            taken = side["runs"]
            lines.append(row(first, name, spread([run["seconds"] for run in taken]), against(scenario, name),
                             f"{statistics.median(run['cpu'] for run in taken):.2f}",
                             f"{max(run['peak_mib'] for run in taken):.0f}"))
            first = ""
    return [*lines, "", "![times](times.svg)", ""]


def against(scenario, name):
    """The ratio of times; of times per file where a side had fewer files."""
    sides = scenario["sides"]
    if name == OURS or OURS not in sides:
        return ""
    ours, theirs = sides[OURS]["runs"], sides[name]["runs"]
    if ours[0]["files"] == theirs[0]["files"]:
        return spread([one["seconds"] / other["seconds"] for one, other in zip(ours, theirs)], 3)
    once = sides[name]["once"]
    values = [one["seconds"] / one["files"] / ((other["seconds"] - once) / other["files"])
              for one, other in zip(ours, theirs)]
    return f"{spread(values, 3)} per file (it had {theirs[0]['files']})"


def growing(found):
    if not found:
        return []
    few, many = found["sizes"]
    made = ", ".join(f"{name} {text}" for name, text in found["with"].items())
    heads = [f"{size['entries']:,} entries, {size['owed']:,} owed" for size in (few, many)]
    lines = ["## Growth", "", f"{growth.NUMBER}: no latency, no limit of bandwidth; once, {found['measured']}, {made}.", "",
             *table("", *heads, "times as much")]
    values = [(words, few["seconds"][step], many["seconds"][step], "s", 2) for step, words in growth.STEPS.items()]
    values += [(words, few[key], many[key], unit, 0) for words, key, unit in growth.MEMORY]
    for words, one, other, unit, digits in values:
        lines.append(row(words, *(f"{value:.{digits}f} {unit}" for value in (one, other)), f"{other / one:.1f}"))
    return [*lines, ""]


def costs(results):
    lines = ["## Requests", "", "Of the last run, from the moment the mount answered to the end of its process.", "",
             *table("scenario", "side", "requests", "MiB in / out")]
    for number, scenario in results.items():
        first = number
        for name, side in scenario["sides"].items():
            requests = side["runs"][-1]["requests"]
            line = " / ".join(f"{requests.get(way, 0) / (1 << 20):.1f}" for way in ("line_in", "line_out"))
            if side["kind"] != "passthrough":
                lines.append(row(first, name, calls(requests), line))
                first = ""
    return [*lines, ""]


def calls(requests):
    """Requests by kind, the most frequent first."""
    kinds = {kind: count for kind, count in requests.items() if kind not in TOTALS}
    told = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items(), key=lambda kind: -kind[1]))
    return f"{sum(kinds.values())}: {told}" if kinds else "0"


def flags(results):
    lines = ["## Flags", "", *table("scenario", "side", "flags")]
    for number, scenario in results.items():
        for name, side in scenario["sides"].items():
            if side["flags"]:
                lines.append(row(number, name, f"`{side['flags']}`"))
    return [*lines, ""]


def origins(results):
    lines = ["## Circumstances", "", "Load is the highest average of one minute when a run began: what else the machine did, and the run before.", "",
             *table("scenario", "scale", "latency, bandwidth", "runs", "load", "measured", "with")]
    for number, scenario in results.items():
        width = f"{scenario['bandwidth_mbit']:g} Mbit/s" if scenario["bandwidth_mbit"] else "no limit"
        runs = max(len(side["runs"]) for side in scenario["sides"].values())
        load = max(run["load"] for side in scenario["sides"].values() for run in side["runs"])
        made = ", ".join(f"{name} {text}" for name, text in scenario["with"].items())
        lines.append(row(number, f"{scenario['scale']:g}", f"{scenario['latency_ms']} ms, {width}", str(runs), f"{load:.1f}",
                         scenario["measured"], made))
    return lines
