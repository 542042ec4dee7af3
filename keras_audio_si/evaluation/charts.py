"""Charts of reports as inline SVG, coloured by the classes of the page's style sheet.

They contain numbers and no names, so that nothing in them needs escaping.
"""

import numpy as np

from keras_audio_si.evaluation.shift import parse_protocol
from keras_audio_si.spacing import evenly_spaced

_MAX_STEPS = 150  # of a curve: more cannot be seen


def interval_bar(interval, low=0.0, high=1.0):
    """A value as a dot and its interval as a line on a scale.

    Args:
        interval: `intervals.Interval`
        low, high: Ends of the scale. Where 0 lies between them it has a mark.

    Returns:
        SVG text, empty where the value is not defined.

    Example:

    >>> from keras_audio_si.evaluation.intervals import Interval
    >>> "cx='72.0'" in interval_bar(Interval(0.5, 0.25, 0.75))
    True
    """
    if interval.value != interval.value:
        return ""
    width, margin = 144, 4
    x = lambda value: f"{margin + (width - 2 * margin) * (value - low) / (high - low):.1f}"  # noqa: E731
    marks = "".join(
        f"<line class='grid' x1='{x(at)}' x2='{x(at)}' y1='2' y2='16'/>"
        for at in ((low, 0.0, high) if low < 0 < high else (low, (low + high) / 2, high))
    )
    whisker = ""
    if interval.low == interval.low:
        whisker = f"<line class='whisker' x1='{x(interval.low)}' x2='{x(interval.high)}' y1='9' y2='9'/>"
    return (
        f"<svg class='bar' viewBox='0 0 {width} 18' width='{width}' height='18' aria-hidden='true'>{marks}{whisker}"
        f"<circle class='dot' cx='{x(interval.value)}' cy='9' r='3.5'/></svg>"
    )


def precision_recall_chart(recall, precision, prevalence):
    """A precision-recall curve in steps, with the precision of random scores as a dashed line.

    Args:
        recall, precision: Arrays as `curves.precision_recall` gives them.
        prevalence: Share of the clips that have the class.

    Returns:
        SVG text.
    """
    frame = _Frame(220, 168, left=42, bottom=34)
    if len(recall) > _MAX_STEPS:
        kept = evenly_spaced(len(recall), _MAX_STEPS)
        recall, precision = recall[kept], precision[kept]
    path, before = "", 0.0
    for r, p in zip(recall, precision, strict=True):
        path += f"{'L' if path else 'M'}{frame.x(before)} {frame.y(p)}H{frame.x(r)}"
        before = r
    body = frame.axes("Recall", "Precision")
    base = frame.y(prevalence)
    body += f"<line class='reference' x1='{frame.x(0)}' x2='{frame.x(1)}' y1='{base}' y2='{base}'/>"
    return frame.svg(body + f"<path class='curve' d='{path}'/>")


def reliability_chart(calibration):
    """A reliability diagram: the observed share by mean score, and below the number of scores of each bin.

    Args:
        calibration: `calibration.Calibration`

    Returns:
        SVG text.
    """
    frame = _Frame(420, 300, left=46, bottom=90)
    body = frame.axes("", "Observed share", ticks=(0, 0.25, 0.5, 0.75, 1))
    body += f"<path class='reference' d='M{frame.x(0)} {frame.y(0)}L{frame.x(1)} {frame.y(1)}'/>"
    top, height = frame.bottom + 24, 30
    largest = max(1, calibration.counts.max())
    for left, right, count in zip(calibration.edges[:-1], calibration.edges[1:], calibration.counts, strict=True):
        bar = height * count / largest
        x, width = float(frame.x(left)) + 1, float(frame.x(right)) - float(frame.x(left)) - 2
        title = f"<title>{count} scores from {left:.2f} to {right:.2f}</title>"
        y = top + height - bar
        body += f"<rect class='count' x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{bar:.1f}'>{title}</rect>"
    known = calibration.counts > 0
    points = list(zip(calibration.confidence[known], calibration.observed[known], strict=True))
    body += f"<path class='curve' d='M{'L'.join(f'{frame.x(c)} {frame.y(o)}' for c, o in points)}'/>"
    for (confidence, observed), count in zip(points, calibration.counts[known], strict=True):
        title = f"<title>score {confidence:.3f}, right {observed:.3f}, {count} scores</title>"
        body += f"<circle class='dot' cx='{frame.x(confidence)}' cy='{frame.y(observed)}' r='4'>{title}</circle>"
    body += f"<text class='label' x='{frame.x(0.5)}' y='{frame.height - 6}' text-anchor='middle'>Score</text>"
    body += f"<text class='tick' x='{frame.left - 6}' y='{top + 10}' text-anchor='end'>{largest}</text>"
    return frame.svg(body)


def shift_chart(shifts):
    """Consistency of the top class by the size of the shift, a line for each kind.

    Args:
        shifts: Dict of `shift.ShiftResult` by protocol.

    Returns:
        SVG text. The kinds have the classes `series-0`, `series-1`, ... in order of first appearance.
    """
    lines = {}
    for protocol, result in shifts.items():
        kind, size = parse_protocol(protocol)
        lines.setdefault(kind, []).append((size, result.consistency))
    largest = max(size for points in lines.values() for size, _ in points)
    lowest = min(value for points in lines.values() for _, value in points)
    low = max(0.0, np.floor((lowest - 0.02) * 10) / 10)
    frame = _Frame(420, 260, left=46, bottom=40, x_range=(0, largest * 1.04), y_range=(low, 1.0))
    sizes = sorted({size for points in lines.values() for size, _ in points})
    if len(sizes) > 12:
        sizes = sizes[:: len(sizes) // 6]
    body = frame.axes("Size of the shift", "Consistency", (low, (low + 1) / 2, 1), (0, *sizes), percent=True)
    for number, points in enumerate(lines.values()):
        points = [(0, 1.0), *sorted(points)]  # Without a shift nothing changes.
        path = "L".join(f"{frame.x(size)} {frame.y(value)}" for size, value in points)
        body += f"<path class='curve series-{number}' d='M{path}'/>"
        body += "".join(
            f"<circle class='dot series-{number}' cx='{frame.x(size)}' cy='{frame.y(value)}' r='4'>"
            f"<title>{size}: {100 * value:.1f} %</title></circle>"
            for size, value in points[1:]
        )
    return frame.svg(body)


class _Frame:
    """The rectangle of a chart with its scales."""

    def __init__(self, width, height, left, bottom, x_range=(0, 1), y_range=(0, 1)):
        self.width, self.height, self.left, self.bottom = width, height, left, height - bottom
        self.x_range, self.y_range, self.top, self.right = x_range, y_range, 8, width - 8

    def x(self, value):
        low, high = self.x_range
        return f"{self.left + (self.right - self.left) * (value - low) / (high - low):.1f}"

    def y(self, value):
        low, high = self.y_range
        return f"{self.bottom - (self.bottom - self.top) * (value - low) / (high - low):.1f}"

    def axes(self, x_label, y_label, ticks=(0, 0.5, 1), x_ticks=None, percent=False):
        parts = []
        for tick in ticks:
            y, text = self.y(tick), f"{100 * tick:.0f} %" if percent else f"{tick:g}"
            parts.append(f"<line class='grid' x1='{self.left}' x2='{self.right}' y1='{y}' y2='{y}'/>")
            parts.append(
                f"<text class='tick' x='{self.left - 6}' y='{float(y) + 3.5:.1f}' text-anchor='end'>{text}</text>"
            )
        for tick in ticks if x_ticks is None else x_ticks:
            parts.append(
                f"<text class='tick' x='{self.x(tick)}' y='{self.bottom + 14}' text-anchor='middle'>{tick:g}</text>"
            )
        middle = (self.left + self.right) / 2
        parts.append(
            f"<text class='label' x='{middle}' y='{self.height - 2}' text-anchor='middle'>{x_label}</text>"
            f"<text class='label' transform='translate(10 {(self.top + self.bottom) / 2:.0f}) rotate(-90)' "
            f"text-anchor='middle'>{y_label}</text>"
        )
        return "".join(parts)

    def svg(self, body):
        return f"<svg class='chart' viewBox='0 0 {self.width} {self.height}' aria-hidden='true'>{body}</svg>"
