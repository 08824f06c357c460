"""Optimizers as their papers write them, in numpy: each a function of settings that returns a
function `step(weights, gradients, rate)`, which updates the weights in place.

Weights and gradients are lists of float64 arrays; `rate` is a list with the rate of each.
"""

import math
from types import SimpleNamespace

import numpy


def is_decayed(weight):
    """Return whether weight decay is for kernels like this one."""
    return weight.ndim > 1


def sgd(settings):
    velocities = {}

    def step(weights, gradients, rates):
        for i, (weight, gradient, rate) in enumerate(zip(weights, gradients, rates, strict=True)):
            gradient = gradient + settings.l2 * weight * is_decayed(weight)
            old = velocities.get(i, 0.0)
            velocities[i] = settings.momentum * old - rate * gradient
            look_ahead = settings.momentum * velocities[i] - rate * gradient
            weight += look_ahead if settings.nesterov else velocities[i]

    return step


def adam(settings):
    state = SimpleNamespace(steps=0, first={}, second={})
    decay = getattr(settings, "weight_decay", 0.0)

    def step(weights, gradients, rates):
        state.steps += 1
        for i, (weight, gradient, rate) in enumerate(zip(weights, gradients, rates, strict=True)):
            weight -= rate * decay * weight * is_decayed(weight)
            state.first[i] = (
                settings.beta_1 * state.first.get(i, 0.0) + (1 - settings.beta_1) * gradient
            )
            state.second[i] = (
                settings.beta_2 * state.second.get(i, 0.0) + (1 - settings.beta_2) * gradient**2
            )
            # The end of section 2 of the paper, in which epsilon is not corrected.
            corrected = rate * math.sqrt(1 - settings.beta_2**state.steps)
            corrected /= 1 - settings.beta_1**state.steps
            weight -= corrected * state.first[i] / (numpy.sqrt(state.second[i]) + settings.epsilon)

    return step


def orthogonalize(matrix, steps):
    """Return the result of Newton-Schulz iterations, as Jordan's post writes them."""
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalize(matrix.T, steps).T
    matrix = matrix / (numpy.sqrt((matrix**2).sum()) + 1e-7)
    for _ in range(steps):
        gram = matrix @ matrix.T
        matrix = 3.4445 * matrix + (-4.7750 * gram + 2.0315 * gram @ gram) @ matrix
    return matrix


def muon(settings):
    companion = {"sgd": sgd, "adamw": adam}[settings.companion.name](settings.companion)
    ratio = settings.companion.learning_rate / settings.learning_rate
    momenta = {}

    def step(weights, gradients, rates):
        kernels = [i for i, weight in enumerate(weights) if weight.ndim > 1]
        hidden = [i for i in kernels[1:-1] if weights[i].shape[-1] > 1]
        rest = [i for i in range(len(weights)) if i not in hidden]
        companion(
            [weights[i] for i in rest],
            [gradients[i] for i in rest],
            [rates[i] * ratio for i in rest],
        )
        for i in hidden:
            momenta[i] = settings.momentum * momenta.get(i, 0.0) + gradients[i]
            nesterov = gradients[i] + settings.momentum * momenta[i]
            matrix = nesterov.reshape(-1, nesterov.shape[-1]).T  # (outputs, inputs) as in torch
            scale = math.sqrt(max(1, matrix.shape[0] / matrix.shape[1]))
            update = scale * orthogonalize(matrix, settings.newton_schulz_steps).T
            weights[i] -= rates[i] * settings.weight_decay * weights[i]
            weights[i] -= rates[i] * update.reshape(weights[i].shape)

    return step


ORACLES = {"adam": adam, "adamw": adam, "muon": muon, "sgd": sgd}
"""One for each optimizer."""
