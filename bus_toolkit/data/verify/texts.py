"""What a tokenizer leaves out of the texts of a data set, as counts and faults of a report."""

from __future__ import annotations

from bus_toolkit.data.text_survey import FIELDS, TextLimits, TextSurvey
from bus_toolkit.data.verify.report import EnoughFaults, Fault, Report


def report_texts(survey: TextSurvey, limits: TextLimits, report: Report) -> None:
    """Count texts that are cut and words that are unknown; shares for which a training is refused are faults."""
    for field, counts in survey.counts.items():
        what, of = FIELDS[field], "" if field == "text" else f" of {FIELDS[field]}"
        report.count(f"{what} cut by the tokenizer", counts.cut)
        report.count(f"words{of}", counts.words)
        report.count(f"unknown words{of} ([UNK])", counts.unknown.total())
        report.counts[f"share of unknown words{of}"] = counts.unknown_share
        if counts.unknown:
            report.notes.append(f"unknown words{of}, the most frequent first: {counts.examples(10)}")
    try:
        for line in survey.faults(limits):
            report.add(Fault("text", "", line))
    except EnoughFaults:
        pass
