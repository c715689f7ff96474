"""From the results of a study to evidence: intervals, claims, tables, plots and a page to choose from."""
