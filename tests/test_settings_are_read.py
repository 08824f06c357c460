"""No dead setting: what an experiment file can say is read where it has an effect."""

import re

import pytest
from section_reads import find_sections, list_reads
from source_code import MODULES, name_module

from imgcls import parts

READERS = {
    ("checks", "policy"): ("imgcls.audit.runner", "does what the policies of all checks say"),
    ("datasets", "audit"): ("imgcls.verbs.prepare", "runs the checks"),
    ("datasets", "channels"): ("imgcls.store.encode", "decodes images of every data set"),
    ("datasets", "max_images"): ("imgcls.split.assign", "splits every data set"),
    ("datasets", "max_megapixels"): ("imgcls.store.encode", "as for channels"),
    ("datasets", "on_bad_image"): ("imgcls.verbs.prepare", "stops, or lists what was left out"),
    ("datasets", "resize"): ("imgcls.store.storage", "stores images of every data set"),
    ("datasets", "short_side"): ("imgcls.store.storage", "stores images of every data set"),
    ("datasets", "size"): ("imgcls.store.storage", "stores images of every data set"),
    ("datasets", "split_seed"): ("imgcls.config", "is the experiment's seed unless given"),
    ("datasets", "splits_file"): ("imgcls.split.assign", "as for max_images"),
    ("datasets", "store_dir"): ("imgcls.store.lookup", "finds the store of every data set"),
    ("datasets", "stored_size"): ("imgcls.store.storage", "stores images of every data set"),
    ("datasets", "test"): ("imgcls.split.assign", "as for max_images"),
    ("datasets", "validation"): ("imgcls.split.assign", "as for max_images"),
    ("losses", "alpha"): ("imgcls.training.teacher", "a teacher needs the images"),
    ("losses", "attention"): ("imgcls.training.teacher", "as for alpha"),
    ("losses", "teacher"): ("imgcls.training.teacher", "as for alpha"),
    ("losses", "temperature"): ("imgcls.training.teacher", "as for alpha"),
    ("models", "weights"): ("imgcls.transfer.source", "finds and reads those of every model"),
    ("optimizers", "learning_rate"): ("imgcls.training.build", "makes the schedule of it"),
}
"""Settings of parts that the machinery of their kind reads, with where and why; any other counts as
read only in the module that declares it.
"""
CONFIG = {
    "imgcls.config",
    "imgcls.layer_settings",
    "imgcls.learning_rate_settings",
    "imgcls.monitor_settings",
    "imgcls.phase_settings",
    "imgcls.train_config",
    "imgcls.tune_config",
}
TEXTS = {name_module(path): path.read_text() for path in MODULES}
SOURCE = find_sections(TEXTS)
READS = list_reads(SOURCE)


def find_unread(texts: dict[str, str]) -> set[str]:
    """Return the fields of sections that no module reads which counts, as `module.field`."""
    source = find_sections(texts)
    read = {(each.section, each.name, each.module) for each in list_reads(source)}
    unread = set()
    for key, declared in source.sections.items():
        for name in declared.fields:
            if declared.module in CONFIG:
                readers = set(texts) - CONFIG
            else:
                kind = declared.module.split(".")[1]
                readers = {declared.module, READERS.get((kind, name), ("", ""))[0]}
            if not any((key, name, module) in read for module in readers):
                unread.add(f"{declared.module}.{name}")
    return unread


def add_field(text: str, section: str, line: str) -> str:
    """Return a module with one more field at the top of a section, below its docstring."""
    start = re.compile(rf'(class {section}\(.*?\):\n    """.*?"""\n)', re.DOTALL)
    return start.sub(lambda match: f"{match[1]}    {line}\n", text, count=1)


def test_every_setting_is_read():
    assert find_unread(TEXTS) == set()


DEAD = {
    "imgcls.augmentations.random_crop.dead": ("Settings", "dead: int = 0"),
    "imgcls.augmentations.random_flip.alpha": ("Settings", "alpha: float = 1.0"),
    "imgcls.models.cnn.padding": ("Settings", "padding: int = 1"),
    "imgcls.optimizers.sgd.weight_decay": ("Settings", "weight_decay: float = 0.0"),
    "imgcls.schedules.constant.learning_rate": ("Settings", "learning_rate: float = 0.0"),
    "imgcls.augmentations.probability": ("AugmentationSettings", "probability: float = 1.0"),
    "imgcls.datasets._idx.padding": ("IdxSettings", "padding: int = 1"),
    "imgcls.train_config.retries": ("Train", "retries: int = 3"),
    "imgcls.train_config.patience": ("Ema", "patience: int = 3"),
    "imgcls.train_config.power": ("OnDivergence", "power: float = 1.0"),
    "imgcls.config.classes": ("Experiment", "classes: int = 1"),
}
"""Fields to add that nothing reads, though other classes have some of these names; by where they
are then missed.
"""


def test_dead_settings_are_found():
    changed = dict(TEXTS)
    for place, (section, line) in DEAD.items():
        module, _, _ = place.rpartition(".")
        changed[module] = add_field(changed[module], section, line)
    assert find_unread(changed) == DEAD.keys()


def test_a_setting_that_only_a_validator_reads_is_found():
    checked = (
        "dead: int = 0\n\n"
        "    @field_validator('dead')\n"
        "    def _positive(self) -> None:\n"
        "        assert self.dead > 0\n"
    )
    module = "imgcls.augmentations.random_crop"
    changed = add_field(TEXTS[module], "Settings", checked)
    assert find_unread({**TEXTS, module: changed}) == {f"{module}.dead"}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in parts.KINDS for name in parts.list_names(kind)]
)
def test_the_fields_found_in_the_source_are_those_that_the_part_has(kind, name):
    sections = SOURCE.ancestors(f"imgcls.{kind}.{name}.Settings")
    found = {each for section in sections for each in SOURCE.sections[section].fields}
    assert found == parts.load(kind, name).Settings.model_fields.keys()


@pytest.mark.parametrize(("kind", "name"), READERS)
def test_every_exception_is_needed(kind, name):
    module, _ = READERS[kind, name]
    of_kind = {
        each
        for each in READS
        if each.name == name and SOURCE.sections[each.section].module.startswith(f"imgcls.{kind}")
    }
    assert module in {each.module for each in of_kind}
    declared = {
        key
        for key, section in SOURCE.sections.items()
        if section.module.startswith(f"imgcls.{kind}") and name in section.fields
    }
    read_there = {
        each.section for each in of_kind if each.module == SOURCE.sections[each.section].module
    }
    assert declared - read_there
