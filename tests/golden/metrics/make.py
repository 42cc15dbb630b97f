"""Makes netcal.json: calibration errors by netcal 1.4.0.

python tests/golden/metrics/make.py, with netcal installed beside dale; it is needed
for nothing else. netcal's bins of equal mass have their edges between examples, by
interpolation, so its value is kept where the examples divide evenly into the bins:
only then must both put every example in the same one.
"""

import json
import sys
from pathlib import Path

from netcal.metrics import ECE, MCE

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))
from cases.metrics import sampled  # noqa: E402

MADE = [(200, 5, 0, 1.0), (300, 10, 2, 3.0)]


def row(n: int, classes: int, seed: int, temperature: float, bins: int) -> dict:
    problem = sampled(n, classes, seed, temperature=temperature)
    data = problem.logits_NC.double().softmax(dim=1).numpy(), problem.targets_N.numpy()
    values = {
        "n": n,
        "classes": classes,
        "seed": seed,
        "temperature": temperature,
        "bins": bins,
        "ece": float(ECE(bins).measure(*data)),
        "mce": float(MCE(bins).measure(*data)),
    }
    if n % bins == 0:
        values["adaptive_ece"] = float(ECE(bins, equal_intervals=False).measure(*data))
    return values


rows = [json.dumps(row(*made, bins)) for made in MADE for bins in (5, 10, 15)]
text = "[\n  " + ",\n  ".join(rows) + "\n]\n"
(HERE / "netcal.json").write_text(text, encoding="utf-8")
