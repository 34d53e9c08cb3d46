"""What the real TensorBoard and scikit-learn say, as JSON on standard output.

report_peer.py tensorboard FOLDER        tags, and of each scalar [step, value]; of each picture [step, width, height]
report_peer.py metrics < '[[truths, predictions, classes], ...]'
"""

import json
import sys


def tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(folder, size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    return {
        "scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
        "images": {tag: [[e.step, e.width, e.height] for e in events.Images(tag)] for tag in tags["images"]},
    }


def metrics(truths, predictions, classes):
    import sklearn.metrics as m

    labels = list(range(classes))
    precision, recall, f1, support = m.precision_recall_fscore_support(
        truths, predictions, labels=labels, zero_division=0)
    answer = {"accuracy": m.accuracy_score(truths, predictions),
              "precision": precision.tolist(), "recall": recall.tolist(), "f1": f1.tolist(),
              "support": support.tolist()}
    for average in ("macro", "weighted"):
        values = m.precision_recall_fscore_support(truths, predictions, average=average, zero_division=0)[:3]
        for name, value in zip(("precision", "recall", "f1"), values):
            answer[f"{average}_{name}"] = float(value)
    return answer


def main():
    if sys.argv[1] == "tensorboard":
        answer = tensorboard(sys.argv[2])
    else:
        answer = [metrics(*case) for case in json.load(sys.stdin)]
    json.dump(answer, sys.stdout)


main()
