"""Loss curves and recall by distance of a run, as one figure; without matplotlib only the curves' CSV files stay."""

import csv
import json

try:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
except ImportError:
    pyplot = None


def draw(out, names):
    """Writes curves.png from NAME.curve.csv and NAME.facts.json of the models that have them."""
    if pyplot is None:
        return
    figure, (loss, recall) = pyplot.subplots(1, 2, figsize=(13, 5))
    lowest = []
    for name in names:
        path = out / f"{name}.curve.csv"
        if not path.exists():
            continue
        with open(path) as file:
            rows = list(csv.DictReader(file))
        bits = [float(row["validation_bits"]) for row in rows]
        lowest.append(min(bits))
        loss.plot([int(row["bytes"]) / 1e6 for row in rows], bits, label=name)
        facts = json.loads((out / f"{name}.facts.json").read_text())
        if "recall" in facts:
            distances = [int(d) for d in facts["recall"]]
            recall.plot(distances, list(facts["recall"].values()), marker="o", label=name)
    if lowest:
        loss.set_ylim(min(lowest) - 0.05, min(lowest) + 1.2)
    loss.set(xlabel="million bytes seen", ylabel="validation bits per byte")
    recall.set(xlabel="distance in bytes", ylabel="recall accuracy", xscale="log", ylim=(-0.02, 1.02))
    loss.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(out / "curves.png", dpi=110)
    pyplot.close(figure)
