"""Render the record of a learning curve as one self-contained HTML page."""

from finegrain.errors import printable
from finegrain.report.cells_chart import EDGE
from finegrain.report.chart import FRAME, WIDTH
from finegrain.report.escape import one_line
from finegrain.report.learning_curve_chart import curve_chart
from finegrain.report.learning_curve_record import LearningCurveRecord
from finegrain.report.templates import one_line_pairs, render


def html(record: LearningCurveRecord) -> str:
    """The whole report as one HTML page that asks for nothing from anywhere."""
    return render(
        "learning_curve.html.jinja",
        {
            "record": record,
            "name": one_line(record.name),
            "most": record.points[-1],
            "ahead": record.ahead(),
            "law": record.law(),
            "chart": curve_chart(record),
            "chart_frame": FRAME | {"right": WIDTH - EDGE},
            "protocol": [one_line(sentence) for sentence in record.protocol],
            "recipe": printable(record.recipe_source),
            "environment": one_line_pairs(record.environment),
            "notes": [one_line(note) for note in record.notes],
        },
    )
