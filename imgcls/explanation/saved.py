"""Explanations that a run has, for its page. Light zone."""

import os
from dataclasses import dataclass

from imgcls import parts
from imgcls.datasets import SplitName
from imgcls.explanation.folder import ExplanationFolder, get_explanation_folder
from imgcls.explanation.record import Importance, MapArrays, MethodScores
from imgcls.io.array_records import read_arrays
from imgcls.io.records import read_record
from imgcls.result_folder import ResultFolder

SPLITS: tuple[SplitName, ...] = ("test", "validation", "train")
"""The order in which a split is looked for that was explained."""


@dataclass(frozen=True)
class SavedExplanations:
    """What `explain` wrote of a split."""

    split: SplitName
    folder: ExplanationFolder
    advice: str
    """What to do if a file is damaged, as the end of a message."""

    def read_importance(self) -> Importance:
        """Return what carries the accuracy.

        Raises:
            DataError: the file is missing or damaged.
        """
        return read_record(self.folder.importance_file, Importance, self.advice)

    def read_best_scores(self) -> MethodScores:
        """Return the scores of the method that gains most over random maps.

        Raises:
            DataError: a file is damaged.
        """
        methods = [
            self.folder.method_folder(name)
            for name in parts.list_names("explainers")
            if os.path.lexists(self.folder.method_folder(name).scores_file)
        ]
        found = [read_record(each.scores_file, MethodScores, self.advice) for each in methods]
        return max(found, key=lambda each: each.deletion.gain + each.insertion.gain)

    def read_maps(self, method: str) -> MapArrays:
        """Return the maps of a method.

        Raises:
            DataError: the file is missing or damaged.
        """
        return read_arrays(self.folder.method_folder(method).maps_file, MapArrays, self.advice)


def find_saved(folder: ResultFolder) -> SavedExplanations | None:
    """Return the explanations of the first split that has some; None if no split was explained."""
    for split in SPLITS:
        found = get_explanation_folder(folder, split)
        if os.path.lexists(found.importance_file):
            command = f"imgcls explain {folder.folder} --split {split}"
            return SavedExplanations(split, found, f"run `{command}` again")
    return None
