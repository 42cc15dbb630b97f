"""Arrays in, arrays out: the same numbers as with tensors."""

import numpy as np
import pytest
import torch

from dale.calibrate import CALIBRATORS, fit_temperature, from_arrays, temperature
from dale.errors import InputError

GENERATOR = np.random.default_rng(0)
LOGITS = 3 * GENERATOR.normal(size=(200, 4))
TARGETS = (LOGITS + 3 * GENERATOR.gumbel(size=(200, 4))).argmax(axis=1)
FORMS = {
    "float64": LOGITS,
    "float32": LOGITS.astype(np.float32),
    "float16": LOGITS.astype(np.float16),
    "extended": LOGITS.astype(np.longdouble),
    "big-endian": LOGITS.astype(">f8"),
    "columns first": np.asfortranarray(LOGITS),
    "reversed": LOGITS[::-1][::-1],
    "lists": LOGITS.tolist(),
    "whole numbers": LOGITS.round().astype(np.int8),
}


class Foreign:
    """An array of another framework: all it has is the protocol of NumPy."""

    def __init__(self, values):
        self._values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._values, dtype=dtype)


@pytest.mark.parametrize("name", FORMS)
def test_the_same_temperature_as_of_a_tensor(name):
    made = np.asarray(FORMS[name], dtype=np.float64)
    expected = fit_temperature(torch.from_numpy(made), torch.from_numpy(TARGETS))
    found = temperature(FORMS[name], TARGETS)
    assert found.fitted.value == pytest.approx(expected.value, rel=1e-9)
    calibrated = found(FORMS[name])
    assert isinstance(calibrated, np.ndarray)
    assert calibrated.dtype == np.float64
    np.testing.assert_allclose(calibrated, made / found.fitted.value, rtol=1e-12)


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int64])
def test_any_integers_are_classes(kind):
    assert temperature(LOGITS, TARGETS.astype(kind)) == temperature(LOGITS, TARGETS)


def test_an_array_of_another_framework():
    found = temperature(Foreign(LOGITS), Foreign(TARGETS))
    assert found == temperature(LOGITS, TARGETS)
    assert found == temperature(LOGITS.tolist(), TARGETS.tolist())
    assert isinstance(found(Foreign(LOGITS)), np.ndarray)


def test_a_tensor_comes_back_as_a_tensor():
    found = temperature(torch.from_numpy(LOGITS), torch.from_numpy(TARGETS))
    assert isinstance(found(torch.from_numpy(LOGITS)), torch.Tensor)
    assert isinstance(found.probabilities(torch.from_numpy(LOGITS)), torch.Tensor)


def test_probabilities_are_the_softmax():
    found = temperature(LOGITS, TARGETS)
    powers = np.exp(found(LOGITS))
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probabilities(LOGITS), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "name", [n for n, row in CALIBRATORS.items() if not row.binary_only]
)
def test_every_calibrator_takes_arrays(name):
    fit = CALIBRATORS[name].fit
    expected = fit(torch.from_numpy(LOGITS), torch.from_numpy(TARGETS))
    found = from_arrays(LOGITS, TARGETS, fit)
    np.testing.assert_array_equal(
        found(LOGITS), expected.apply(torch.from_numpy(LOGITS)).numpy()
    )
    assert str(found) == expected.describe()


def test_arrays_are_left_alone():
    logits, targets = LOGITS.copy(), TARGETS.copy()
    temperature(logits, targets)(logits)
    np.testing.assert_array_equal(logits, LOGITS)
    np.testing.assert_array_equal(targets, TARGETS)


def test_a_read_only_array_is_taken():
    logits = LOGITS.copy()
    logits.setflags(write=False)
    assert temperature(logits, TARGETS) == temperature(LOGITS, TARGETS)


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        ([["a", "b"]], [0], "logits: expected real numbers"),
        (LOGITS + 0j, TARGETS, "logits: expected real numbers, got complex128"),
        ([[1.0, 2.0], [1.0]], [0, 1], "logits: no array of numbers"),
        (LOGITS, TARGETS.astype(float), "targets: expected integer classes"),
        (LOGITS, TARGETS[:-1], r"targets_N: expected shape \(200,\)"),
        (LOGITS[0], TARGETS[:1], "logits_NC: expected 2 axes"),
        (LOGITS * np.nan, TARGETS, "NaN|nan"),
        (np.ma.array(LOGITS, mask=LOGITS > 1), TARGETS, "some masked"),
        (LOGITS[:, :1], TARGETS, "pass the two columns 0 and z"),
        (torch.eye(2).to_sparse(), [0, 1], "expected a dense tensor, got sparse_coo"),
        (np.full((4, 2), 0.5).astype("f2"), [0, 1, 0, 1], "got probabilities"),
        (np.full((4, 2), 0.5), [0, 1, 0, 1], "expected logits, got probabilities"),
    ],
)
def test_what_is_no_such_array_is_refused(logits, targets, message):
    with pytest.raises(InputError, match=message):
        temperature(logits, targets)


class Capsule:
    """An array that speaks DLPack and nothing else."""

    def __init__(self, array):
        self._held = torch.from_numpy(np.array(array))

    def __dlpack__(self, **given):
        return self._held.__dlpack__(**given)

    def __dlpack_device__(self):
        return self._held.__dlpack_device__()


def test_an_array_that_speaks_dlpack_alone():
    fitted = temperature(Capsule(LOGITS), Capsule(TARGETS))
    assert fitted == temperature(LOGITS, TARGETS)
    assert isinstance(fitted(Capsule(LOGITS)), np.ndarray)
