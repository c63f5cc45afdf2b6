"""Render the record of a comparison as one self-contained HTML page."""

from finegrain.metrics.comparison import ALPHA
from finegrain.report.cells_chart import EDGE, Group, strips
from finegrain.report.chart import FRAME, WIDTH
from finegrain.report.comparison_record import ComparisonRecord, Setting
from finegrain.report.escape import one_line
from finegrain.report.templates import render


def html(record: ComparisonRecord) -> str:
    """The whole comparison as one HTML page that asks for nothing from anywhere."""
    method = record.comparisons[0].method
    return render(
        "comparison.html.jinja",
        {
            "record": record,
            "names": [one_line(setting.name) for setting in record.settings],
            "protocols": [[one_line(sentence) for sentence in setting.protocol] for setting in record.settings],
            "differences": [(one_line(key), map(one_line, said)) for key, said in record.differences().items()],
            "unknown": [number for number, setting in enumerate(record.settings, start=1) if not setting.recipe],
            "strips": strips([_group(number, setting) for number, setting in enumerate(record.settings, start=1)]),
            "intervals_of": list(dict.fromkeys(setting.interval_of for setting in record.settings if setting.interval)),
            "method": method[0].upper() + method[1:],
            "notes": [one_line(note) for note in record.notes],
            "alpha": f"{ALPHA:g}",
            "chart_frame": FRAME | {"right": WIDTH - EDGE},
        },
    )


def _group(number: int, setting: Setting) -> Group:
    names, scores = zip(*setting.trainings, strict=True)
    return Group(label=str(number), names=names, scores=tuple(100 * score for score in scores))
