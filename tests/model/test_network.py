import numpy as np
from conftest import synthetic_digits

from pipeline.model.backend import keras
from pipeline.model.network import build_network


def adam(learning_rate: float = 0.001) -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(learning_rate, name="adam")


def default_network(seed: int = 0) -> keras.Model:
    return build_network(784, [128, 64, 16], "relu", 10, adam(), seed=seed)


def test_network_is_the_one_of_the_recipe() -> None:
    model = default_network()
    assert [layer.units for layer in model.layers] == [128, 64, 16, 10]
    activations = [layer.activation.__name__ for layer in model.layers]
    assert activations == ["relu", "relu", "relu", "softmax"]
    assert all(type(layer) is keras.layers.Dense and layer.use_bias for layer in model.layers)
    assert model.count_params() == 109_946
    assert sum(np.prod(weights.shape) for weights in model.trainable_variables) == 109_946


def test_network_is_compiled_with_the_optimiser_that_it_is_given() -> None:
    optimizer = adam(0.002)
    model = build_network(784, [128, 64, 16], "relu", 10, optimizer, seed=0)
    assert model.optimizer is optimizer
    assert np.isclose(float(model.optimizer.learning_rate), 0.002)
    assert model.loss == "sparse_categorical_crossentropy"


def test_forward_pass_equals_numpy() -> None:
    model = default_network()
    images = synthetic_digits(50)[0].reshape(50, 784).astype(np.float32) / 255
    activations = images.astype(np.float64)
    weights = model.get_weights()
    for kernel, bias in zip(weights[0:6:2], weights[1:6:2], strict=True):
        activations = np.maximum(activations @ kernel + bias, 0)
    logits = activations @ weights[6] + weights[7]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-4, atol=1e-6)


def test_seed_decides_the_first_weights() -> None:
    first, same, other = (default_network(seed).get_weights()[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_layers_inputs_and_classes_follow_the_arguments() -> None:
    model = build_network(36, [7], "relu", 4, adam(), seed=0)
    assert (model.input_shape, model.output_shape) == ((None, 36), (None, 4))
    assert model.count_params() == 36 * 7 + 7 + 7 * 4 + 4
