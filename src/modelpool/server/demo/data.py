"""The demo's table, written by a process of its own: ``python -m modelpool.server.demo.data TABLE.csv ROW.json``.

The Breast Cancer Wisconsin (Diagnostic) data, Wolberg, Street and Mangasarian, 1995 (UCI, CC BY 4.0), as scikit-learn
brings it.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

from sklearn.datasets import load_breast_cancer


def main() -> None:
    """Write the table, and its first row without the answer as the body of a prediction."""
    table, row_file = Path(sys.argv[1]), Path(sys.argv[2])
    data = load_breast_cancer()
    columns = [str(name).replace(" ", "_") for name in data.feature_names]
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "diagnosis"])
        for values, target in zip(data.data.tolist(), data.target, strict=True):
            writer.writerow([*values, str(data.target_names[target])])
    first = dict(zip(columns, data.data[0].tolist(), strict=True))
    row_file.write_text(json.dumps({"instances": [first]}) + "\n")


if __name__ == "__main__":
    main()
