"""Too little memory, or no thread to be had: a sentence, and a process that goes on.

Each case runs in a child, whose address space is limited. What has failed is done again when the
limit is lifted, and must come to the bits of one that never failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")

COMMON = """
import os, resource, sys, warnings
import numpy as np
from contextlib import contextmanager
import fastnn as fnn
from fastnn import layers
from nets import assert_same_bits, blobs, classifier, mlp
fnn.set_num_threads(1)
MIB = 2**20

def used():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * 4096

@contextmanager
def at_most(mib):
    "So much memory more than there is now."
    resource.setrlimit(resource.RLIMIT_AS, (used() + int(mib * MIB), resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)

def refused(work, mib, text=""):
    with at_most(mib):
        try:
            work()
        except MemoryError as error:
            message = str(error)
        else:
            raise AssertionError("it did not fail")
    assert len(message) > 20 and text in message, repr(message)

x, y = blobs(256, n_features=64)
def trained(model, **settings):
    model.fit(x, y, batch_size=64, shuffle=False, verbose=0, **settings)
    return [*model.get_weights(), model.predict(x, verbose=0)]
wanted = trained(classifier([64, 100, 4]))

def works():
    "A smaller model trains, to the same bits."
    assert_same_bits(trained(classifier([64, 100, 4])), wanted)
"""


# What is freed goes back to the system: else a limit is what the allocator happens to hold.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}


def large_stacks() -> None:
    """For a child: of threads that nobody gives another size."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (2**30, hard))


def run(
    script: str,
    timeout: float = 120,
    preexec_fn: Callable[[], None] | None = None,
    **environment: str,
) -> None:
    """COMMON and ``script`` in a fresh process, which must end well."""
    done = subprocess.run(
        [sys.executable, "-c", COMMON + script], env=os.environ | MALLOC | environment,
        check=False, capture_output=True, text=True, timeout=timeout, preexec_fn=preexec_fn,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


# Memory


def test_a_large_model() -> None:
    run("""
refused(lambda: mlp([20000, 3000, 4]), 100)
works()
model = fnn.Sequential([layers.Input((30000,)), layers.Dense(1000)])
refused(lambda: model.get_weights(), 50)
works()
""")


def test_large_batches() -> None:
    run("""
model, twin = classifier([64, 4000, 4]), classifier([64, 4000, 4])
many, labels = np.tile(x, (40, 1)), np.tile(y, 40)
batches = f"batches of {len(many)} rows need "
refused(lambda: model.fit(many, labels, batch_size=len(many), verbose=0), 200, batches)
refused(lambda: model.train_on_batch(many, labels), 200, batches)
assert int(model.optimizer.iterations) == 0
assert_same_bits(trained(model), trained(twin))
works()
""")


def test_prediction_and_evaluation() -> None:
    run("""
model, twin = classifier([64, 2000, 3000]), classifier([64, 2000, 3000])
many, labels = np.tile(x, (40, 1)), np.tile(y, 40)
refused(lambda: model.evaluate(many, labels, verbose=0), 1, "batches of 256 rows")
refused(lambda: model.predict(many, verbose=0), 60, "(10240, 3000)")
refused(lambda: model.predict(many[:200], verbose=0), 1)
assert_same_bits(trained(model), trained(twin))
works()
""")


def test_pictures() -> None:
    run("""
model = fnn.Sequential([
    layers.Input((100, 100, 3)), layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(),
    layers.Conv2D(64, 3), layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax"),
])
model.compile("sgd", "sparse_categorical_crossentropy")
pictures, labels = np.zeros((64, 100, 100, 3), np.float32), np.arange(64) % 3
refused(lambda: model.fit(pictures, labels, batch_size=64, verbose=0), 100, "batches of 64 rows")
refused(lambda: model.predict(pictures, verbose=0), 40, "batches of 64 rows")
assert model.fit(pictures, labels, batch_size=8, verbose=0).history["loss"]
works()
""")


def test_files(tmp_path: object) -> None:
    run(f"""
import os
path = {str(tmp_path)!r} + "/m.safetensors"
model = fnn.Sequential([layers.Input((2000,)), layers.Dense(2000), layers.Dense(2000)])
model.save(path)
before = model.get_weights()
for mib in (4, 20, 40):
    refused(lambda: model.save(path), mib)
for mib in (4, 20):
    refused(lambda: fnn.load_model(path), mib)
    refused(lambda: model.load_weights(path), mib)
assert os.listdir({str(tmp_path)!r}) == ["m.safetensors"]
assert_same_bits(fnn.load_model(path).get_weights(), before)
assert_same_bits(model.get_weights(), before)
works()
""")


def test_an_image_cache(tmp_path: object) -> None:
    pytest.importorskip("PIL")
    run(f"""
import os
from PIL import Image
folder = {str(tmp_path)!r}
for name in ("a", "b"):
    os.makedirs(f"{{folder}}/pictures/{{name}}")
    for i in range(4):
        Image.new("RGB", (3000, 3000), (i, 20, 30)).save(f"{{folder}}/pictures/{{name}}/{{i}}.png")
os.environ["FASTNN_CACHE"] = os.environ["XDG_CACHE_HOME"] = folder + "/cache"
read = lambda size: fnn.utils.image_dataset_from_directory(
    folder + "/pictures", image_size=(size, size), verbose=False)
assert len(read(8).labels) == 8
refused(lambda: read(4000), 15)
assert not [f for _, _, files in os.walk(folder + "/cache") for f in files if "tmp" in f]
assert read(16).images.shape == (8, 16, 16, 3)
works()
""")


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_wherever_it_fails_it_can_be_done_again(optimizer: str) -> None:
    """With more memory each time, it fails later: at arrays of fit, the optimizer, the program."""
    run(f"""
def fresh():
    fnn.utils.clear_session()
    return classifier([64, 700, 600, 4], optimizer={optimizer!r})
whole = trained(fresh())
failures = 0
for quarter in range(0, 60, 2):
    model = fresh()
    with at_most(quarter / 4):
        try:
            found = trained(model)
        except MemoryError:
            failures += 1
            found = None
    if found is None:
        found = trained(model) if int(model.optimizer.iterations) == 0 else None
    if found is not None:
        assert_same_bits(found, whole)
    del model
assert 3 <= failures < 60, failures
works()
""")


# Threads


NO_THREADS = """
fnn.set_num_threads(3)
def warned(work, made=1):
    with at_most(200), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = work()
    assert {each.category for each in caught} == {RuntimeWarning}
    assert {each.filename for each in caught} == {"<string>"}, "it points at the user's line"
    assert f"3 threads were wanted, but the system made only {made}" in str(caught[0].message)
    return found
"""
STACK = {"OMP_STACKSIZE": "1G"}


def test_a_team_without_threads_is_one_of_one() -> None:
    """libgomp would end the process."""
    run(NO_THREADS + """
found = warned(lambda: trained(classifier([64, 100, 4])))
assert_same_bits(found, wanted)
model = classifier([64, 100, 4])
warned(lambda: model.predict(x[:64]))
works()   # with three, now that there is room
warnings.simplefilter("error")
fnn.set_num_threads(2)
with at_most(200):   # two of those are there already
    works()
""", **STACK)  # fmt: skip


def test_a_team_of_fewer() -> None:
    run(NO_THREADS + """
found = warned(lambda: trained(classifier([64, 100, 4])), made=2)
assert_same_bits(found, wanted)
""", OMP_STACKSIZE="120M")  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_without_threads() -> None:
    """There, another thread opens the team: it may not be had, either."""
    run(NO_THREADS + """
child = os.fork()
if child == 0:
    status = 1
    try:
        assert_same_bits(warned(lambda: trained(classifier([64, 100, 4]))), wanted)
        status = 0
    finally:
        os._exit(status)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
""", preexec_fn=large_stacks)  # fmt: skip


def test_nonzeros_are_found_without_threads() -> None:
    run("""
fnn.set_num_threads(2)
sparse = x * (np.random.default_rng(0).random(x.shape) < 0.05)
def sparsely(model):
    model.fit(np.tile(sparse, (100, 1)), np.tile(y, 100), batch_size=64, shuffle=False, verbose=0)
    return model.get_weights()
from fastnn.engine import sources
calls = []
original = sources.sparse_rows
wanted = sparsely(classifier([64, 10, 4]))
import threading
def none(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = none
assert_same_bits(sparsely(classifier([64, 10, 4])), wanted)
""")
