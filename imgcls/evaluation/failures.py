"""Where a model fails: the classes with the lowest recall, and the hardest images. Light zone."""

from imgcls.evaluation.intervals import compute_wilson_interval
from imgcls.evaluation.predictions import Predictions
from imgcls.metrics import Number
from imgcls.metrics.log_loss import get_true_probability

Table = list[dict[str, str | Number]]

SHOWN = 10
"""Rows of each table, at most."""


def list_worst_classes(predictions: Predictions, confidence: float) -> Table:
    """Return the classes with the lowest recall, apart from those without a mistake.

    Of classes with the same recall, those with more images come first.

    Args:
        confidence: of Wilson's interval of the recall, 0..1.

    Returns:
        Class, images, recall, its interval, and the class that its images are most often taken for.
    """
    import numpy

    labels, predicted = predictions.labels, predictions.predicted
    support = numpy.bincount(labels, minlength=len(predictions.classes))
    wrong = numpy.bincount(labels[predicted != labels], minlength=len(support))
    with_mistakes = numpy.flatnonzero(wrong)
    order = sorted(with_mistakes, key=lambda i: (-wrong[i] / support[i], -support[i], i))
    rows: Table = []
    for label in order[:SHOWN]:
        count, correct = int(support[label]), int(support[label] - wrong[label])
        low, high = compute_wilson_interval(correct, count, confidence)
        taken_for = numpy.bincount(predicted[(labels == label) & (predicted != label)]).argmax()
        rows.append(
            {
                "class": predictions.classes[label],
                "images": count,
                "recall": correct / count,
                "low": low,
                "high": high,
                "mostly_predicted_as": predictions.classes[taken_for],
            }
        )
    return rows


def list_hardest_images(predictions: Predictions) -> Table:
    """Return the images whose true class has the lowest probability: those with the highest loss.

    Of images with the same probability, those come first whose ids do in the alphabet.
    """
    probability = predictions.per_image(get_true_probability)
    candidates = probability.argsort(kind="stable")
    limit = probability[candidates[: SHOWN + 1][-1]]
    near = [i for i in candidates.tolist() if probability[i] <= limit]
    hardest = sorted(near, key=lambda i: (probability[i], predictions.ids[i]))[:SHOWN]
    predicted = predictions.predicted
    return [
        {
            "image": predictions.ids[i],
            "class": predictions.classes[predictions.labels[i]],
            "probability": float(probability[i]),
            "predicted": predictions.classes[predicted[i]],
            "confidence": float(predictions.probabilities[i, predicted[i]]),
        }
        for i in hardest
    ]
