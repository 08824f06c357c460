"""Networks of keras.applications: their preprocessing, layers, and weights."""

import keras as plain_keras
import numpy
import pytest
import small_models
from experiments import TINY, command, write_experiment

from imgcls.backend import keras
from imgcls.errors import DataError, UserError
from imgcls.models import _application_families as families
from imgcls.training import layer_selection
from imgcls.transfer import keras_models
