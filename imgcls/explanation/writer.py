"""Writes maps, scores and figures of explanations. Heavy zone."""

from collections.abc import Sequence

import numpy

from imgcls.explanation import drawings, importance_drawing
from imgcls.explanation.folder import ExplanationFolder, MethodFolder
from imgcls.explanation.images import Images
from imgcls.explanation.methods import Method
from imgcls.explanation.record import ExplainedImage, Importance, MapArrays, MethodScores
from imgcls.figures import _style
from imgcls.io import files
from imgcls.io.array_records import write_arrays
from imgcls.io.records import write_record


def write_method(
    folder: ExplanationFolder,
    method: Method,
    scores: MethodScores,
    images: Images,
    explained: Sequence[ExplainedImage],
    classes: Sequence[str],
) -> None:
    """Write the folder of a method, in place of an earlier one.

    Raises:
        UserError: it cannot be written.
    """
    final = folder.method_folder(scores.method)
    folder.folder.mkdir(parents=True, exist_ok=True)
    with files.replace_folder(final.folder) as temporary:
        target = MethodFolder(temporary)
        write_arrays(target.maps_file, _make_arrays(method, scores, images, explained, classes))
        with _style.apply_style():
            sheet = images.pixels, method.maps, explained, scores, method.settings.is_signed
            _style.save_figure(drawings.draw_sheet(*sheet), target.sheet_figure)
            _style.save_figure(drawings.draw_scores(scores), target.scores_figure)
            if scores.regions:
                regions = drawings.draw_regions(method.region_maps, scores)
                _style.save_figure(regions, target.regions_figure)
        write_record(target.scores_file, scores)


def _make_arrays(
    method: Method,
    scores: MethodScores,
    images: Images,
    explained: Sequence[ExplainedImage],
    classes: Sequence[str],
) -> MapArrays:
    numbers = {name: number for number, name in enumerate(classes)}
    own = numpy.array([(each.deletion, each.insertion) for each in method.own], numpy.float32)
    random = numpy.array([(each.deletion, each.insertion) for each in method.random], numpy.float32)
    return MapArrays(
        maps=method.maps,
        ids=numpy.array(images.ids, dtype=str),
        explained=numpy.array([numbers[each.predicted] for each in explained], numpy.int32),
        probabilities=numpy.array([each.probability for each in explained], numpy.float32),
        labels=images.labels,
        deletion=own[:, 0],
        insertion=own[:, 1],
        random_deletion=random[:, 0],
        random_insertion=random[:, 1],
        classes=numpy.array(classes, dtype=str),
        region_classes=numpy.array(method.region_labels, numpy.int32) if scores.regions else None,
        region_maps=method.region_maps if scores.regions else None,
    )


def write_importance(folder: ExplanationFolder, importance: Importance, title: str) -> None:
    """Write the importance of features, and its figure.

    Args:
        title: of the images.
    """
    with _style.apply_style():
        figure = importance_drawing.draw_importance(importance, title)
        _style.save_figure(figure, folder.importance_figure)
    write_record(folder.importance_file, importance)
