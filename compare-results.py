"""Put every tested network side by side: size, AUROC alone, AUROC after teaching EEEA-Net-C2, each finding.

    python compare-results.py
    python compare-results.py --results-dir demo/results

Prints the tables and leaves comparison.csv, .md and .png in RESULTS_DIR. Takes seconds.
"""

from cxr14 import comparison

RESULTS_DIR = "results"

if __name__ == "__main__":
    comparison.main(globals())
