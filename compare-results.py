"""Put every tested network side by side in one report: size, AUROC alone, AUROC after teaching, each finding.

    python compare-results.py
    python compare-results.py --results-dir demo/results

Prints the main tables and writes into RESULTS_DIR: report.html (all of it, one file, for any browser),
comparison.md, comparison.csv and comparison.png. Seconds; half a minute for eleven runs of NIH's test list.
"""

from cxr14 import script
from cxr14.settings import CompareSettings

RESULTS_DIR = "results"

if __name__ == "__main__":
    with script.run(CompareSettings, globals()) as settings:
        # Imported here because it loads pandas and matplotlib, which --help does not need.
        from cxr14.report.command import compare

        compare(settings)
