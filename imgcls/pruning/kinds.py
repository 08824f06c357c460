"""Kinds of layers and operations that do the same to channels. Light zone.

The names are those of `graph.name_kind`.
"""

ELEMENTWISE = frozenset(
    [
        "celu",
        "elu",
        "exponential",
        "gelu",
        "hard_sigmoid",
        "hard_silu",
        "hard_tanh",
        "leaky_relu",
        "linear",
        "mish",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "softplus",
        "softsign",
        "tanh",
    ]
)
"""Activation functions that compute each value by itself, unlike softmax."""
POOLING = [
    f"layers.{name}"
    for name in [
        "AveragePooling2D",
        "Cropping2D",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling2D",
        "MaxPooling2D",
        "UpSampling2D",
        "ZeroPadding2D",
    ]
]
UNARY = [
    *(
        f"layers.{name}"
        for name in [
            "Dropout",
            "ELU",
            "GaussianDropout",
            "GaussianNoise",
            "Identity",
            "LeakyReLU",
            "ReLU",
        ]
    ),
    *(
        f"ops.{name}"
        for name in [
            "Absolute",
            "Cast",
            "Clip",
            "Elu",
            "Exp",
            "Gelu",
            "HardSigmoid",
            "HardSilu",
            "LeakyRelu",
            "Negative",
            "Relu",
            "Relu6",
            "Selu",
            "Sigmoid",
            "Silu",
            "Softplus",
            "Softsign",
            "Sqrt",
            "Square",
            "Tanh",
        ]
    ),
]
BINARY = [
    *(
        f"layers.{name}"
        for name in ["Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"]
    ),
    *(f"ops.{name}" for name in ["Add", "Divide", "Maximum", "Minimum", "Multiply", "Subtract"]),
    "ops.TrueDivide",
]
