"""Optimizers as their papers write them, in numpy: each a function of settings that returns a
function `step(weights, gradients, rates, rate_of_all)`, which updates the weights in place.

Weights and gradients are lists of float64 arrays; `rates` are their learning rates, which are the
rate of all without factors.
"""

import math
from types import SimpleNamespace

import numpy


def is_decayed(weight):
    """Return whether weight decay is for kernels like this one."""
    return weight.ndim > 1


def sgd(settings):
    velocities = {}

    def step(weights, gradients, rates, rate_of_all):
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

    def step(weights, gradients, rates, rate_of_all):
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

    def step(weights, gradients, rates, rate_of_all):
        kernels = [i for i, weight in enumerate(weights) if weight.ndim > 1]
        hidden = [i for i in kernels[1:-1] if weights[i].shape[-1] > 1]
        rest = [i for i in range(len(weights)) if i not in hidden]
        companion(
            [weights[i] for i in rest],
            [gradients[i] for i in rest],
            [rates[i] * ratio for i in rest],
            rate_of_all * ratio,
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


def lamb(settings):
    state = SimpleNamespace(steps=0, first={}, second={})

    def step(weights, gradients, rates, rate_of_all):
        state.steps += 1
        for i, (weight, gradient, rate) in enumerate(zip(weights, gradients, rates, strict=True)):
            first, second = state.first.get(i, 0.0), state.second.get(i, 0.0)
            state.first[i] = settings.beta_1 * first + (1 - settings.beta_1) * gradient
            state.second[i] = settings.beta_2 * second + (1 - settings.beta_2) * gradient**2
            first = state.first[i] / (1 - settings.beta_1**state.steps)
            second = state.second[i] / (1 - settings.beta_2**state.steps)
            update = first / (numpy.sqrt(second) + settings.epsilon)
            ratio = 1.0
            if is_decayed(weight):
                update += settings.weight_decay * weight
                ratio = numpy.linalg.norm(weight.ravel()) / numpy.linalg.norm(update.ravel())
            weight -= rate * ratio * update

    return step


def lion(settings):
    momenta = {}

    def step(weights, gradients, rates, rate_of_all):
        for i, (weight, gradient, rate) in enumerate(zip(weights, gradients, rates, strict=True)):
            momentum = momenta.get(i, 0.0)
            sign = numpy.sign(settings.beta_1 * momentum + (1 - settings.beta_1) * gradient)
            weight -= rate * (sign + settings.weight_decay * weight * is_decayed(weight))
            momenta[i] = settings.beta_2 * momentum + (1 - settings.beta_2) * gradient

    return step


def schedule_free(settings):
    state = SimpleNamespace(steps=0, z={}, x={}, second={}, total=0.0)

    def step(weights, gradients, rates, rate_of_all):
        state.steps += 1
        state.total += rate_of_all**2
        weight_of_step = rate_of_all**2 / state.total if state.total else 0.0
        for i, (y, gradient, rate) in enumerate(zip(weights, gradients, rates, strict=True)):
            if state.steps == 1:
                state.z[i], state.x[i] = y.copy(), y.copy()
            second = state.second.get(i, 0.0)
            state.second[i] = settings.beta_2 * second + (1 - settings.beta_2) * gradient**2
            corrected = state.second[i] / (1 - settings.beta_2**state.steps)
            decay = settings.weight_decay * y * is_decayed(y)
            state.z[i] = state.z[i] - rate * gradient / (numpy.sqrt(corrected) + settings.epsilon)
            state.z[i] -= rate * decay
            state.x[i] = (1 - weight_of_step) * state.x[i] + weight_of_step * state.z[i]
            y[...] = (1 - settings.beta_1) * state.z[i] + settings.beta_1 * state.x[i]

    step.averages = state.x
    return step


ORACLES = {
    "adam": adam,
    "adamw": adam,
    "lamb": lamb,
    "lion": lion,
    "muon": muon,
    "schedule_free": schedule_free,
    "sgd": sgd,
}
"""One for each optimizer."""
