"""All tested networks side by side: report.html, and its tables and first figure as files of their own.

It works from the files of predictions alone, without torch and without the networks.

| module | holds |
| --- | --- |
| study | what the study itself published |
| runs | which runs there are, what they are called, which were asked about the same radiographs |
| evidence | every figure of the report, with its interval |
| wording | the main finding and the numbers as a reader sees them |
| table, tables | a table as HTML, Markdown and text; each table of the report |
| style, curves, figures | how a figure looks; ROC and precision-recall; all other figures |
| page | report.html, from page.html and page.css |
| command | what compare-results.py calls |
"""

from cxr14.comparison.command import CompareSettings, main

__all__ = ["CompareSettings", "main"]
