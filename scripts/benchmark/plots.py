"""SVG plots of the results, by gnuplot: where it is missing, there are none."""

import shutil
import statistics

from .base import DOCS, run, say
from .goals import verdicts

LOOK = """set terminal svg size {width},{height} dynamic background rgb 'white' font 'sans,12'
set output '{output}'
set border 3
set tics nomirror out
set grid xtics lc rgb '#dddddd'
set logscale x
unset key
"""
GOOD, BAD = "#2f7d4f", "#b3372f"
COLOURS = {"filescomfs": "#1f5fa8", "rclone": "#d98a1f", "bare": "#777777", "passthrough": "#777777"}
# Pixels of one bar, and of what is around the bars.
BAR, FRAME = 22, 70


def draw(results, folder=DOCS):
    if not shutil.which("gnuplot"):
        return say("no gnuplot: no plots")
    drawn(goal_bars(results), folder / "goals.svg", "measured / goal: at most 1 is met", line_at=1)
    drawn(side_bars(results, "seconds"), folder / "times.svg", "seconds, median")
    drawn(side_bars(results, "peak_mib"), folder / "memory.svg", "peak resident memory, MiB")


def goal_bars(results):
    for verdict in verdicts(results):
        if verdict.value and verdict.limit:
            ratio = verdict.limit / verdict.value if verdict.least else verdict.value / verdict.limit
            yield f"{verdict.number}  {verdict.words}", ratio, GOOD if verdict.met else BAD


def side_bars(results, quantity):
    for number, scenario in results.items():
        for name, side in scenario["sides"].items():
            middle = statistics.median(run[quantity] for run in side["runs"])
            yield f"{number}  {name}", middle, COLOURS[side["kind"]]


def drawn(bars, path, title, line_at=None):
    bars = [bar for bar in bars if bar[1] > 0]
    if not bars:
        return
    # Bars of a logarithmic axis begin somewhere: a good way left of the smallest.
    least = min(value for _, value, _ in bars) / 3
    height = len(bars) * BAR + FRAME
    script = LOOK.format(width=900, height=height, output=path) + f"set title '{title}'\n"
    script += f"set xrange [{least}:*]\nset yrange [{len(bars) - 0.3}:-0.7]\n"
    labels = ", ".join(f"'{clean(label)}' {n}" for n, (label, _, _) in enumerate(bars))
    script += f"set ytics ({labels})\n"
    if line_at:
        script += f"set arrow from {line_at}, graph 0 to {line_at}, graph 1 nohead lw 1.5 front\n"
    for n, (_, value, colour) in enumerate(bars):
        script += f"set object rect from {least}, {n - 0.4} to {value}, {n + 0.4} fc rgb '{colour}' fs solid 0.85 noborder behind\n"
        script += f"set label '{value:.3g}' at {value}, {n} left offset 0.5,0 font ',10'\n"
    # gnuplot draws nothing without a plot; the range keeps this one out of sight.
    script += f"plot '-' using 1:2 with points pt 0\n{max(value for _, value, _ in bars) * 2} 0\ne\n"
    run("gnuplot", input=script, text=True, capture_output=True)


def clean(label):
    """Without what gnuplot would take for markup."""
    return label.replace("'", "").replace("_", " ").replace("`", "")
