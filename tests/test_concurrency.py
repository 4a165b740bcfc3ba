"""Fork, Python threads, the GIL and Ctrl-C.

What may hang runs in a process of its own, with a time limit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from nets import assert_same_bits, blobs, classifier

import fastnn as fnn

COMMON = """
import multiprocessing, os, signal, sys, threading, time, warnings
import numpy as np
import fastnn as fnn
from nets import assert_same_bits, blobs, classifier, mlp
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of fork beside threads
fnn.set_num_threads(2)
x, y = blobs(256, n_features=64, n_classes=4)

def train_and_predict():
    model = classifier([64, 100, 4])
    model.fit(x, y, epochs=2, shuffle=False, verbose=0)
    return [*model.get_weights(), model.predict(x, verbose=0)]
"""


def run(script: str, timeout: float = 60) -> str:
    """Output of COMMON and ``script`` in a fresh process; a hang fails the test."""
    path = os.pathsep.join(
        [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    done = subprocess.run(
        [sys.executable, "-c", COMMON + script],
        env=os.environ | {"PYTHONPATH": path},
        check=False, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    n = fnn.get_num_threads()
    yield
    fnn.set_num_threads(n)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@needs_fork
def test_a_forked_child_trains_and_predicts_to_the_same_bits() -> None:
    run("""
wanted = train_and_predict()          # the parent has worker threads; the child will not
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    try:
        assert fnn.get_num_threads() == 2
        assert_same_bits(train_and_predict(), wanted)
        os.write(writer, b"same")
    finally:
        os._exit(0)
os.close(writer)
assert os.read(reader, 10) == b"same"
os.waitpid(child, 0)
assert_same_bits(train_and_predict(), wanted)   # and the parent goes on
""")


@needs_fork
def test_a_forked_child_goes_on_with_the_parents_model() -> None:
    run("""
model, twin = classifier([64, 100, 4]), classifier([64, 100, 4])
for m in (model, twin):
    m.fit(x, y, shuffle=False, verbose=0)
twin.fit(x, y, shuffle=False, verbose=0)
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    try:
        model.fit(x, y, shuffle=False, verbose=0)
        assert_same_bits(model.get_weights(), twin.get_weights())
        os.write(writer, b"same")
    finally:
        os._exit(0)
os.close(writer)
assert os.read(reader, 10) == b"same"
os.waitpid(child, 0)
""")


@needs_fork
def test_multiprocessing_by_fork() -> None:
    run("""
wanted = train_and_predict()
with multiprocessing.get_context("fork").Pool(3) as pool:
    answers = [pool.apply_async(train_and_predict) for _ in range(6)]
    for answer in answers:
        assert_same_bits(answer.get(timeout=50), wanted)
""")


@needs_fork
def test_a_child_of_a_child() -> None:
    run("""
wanted = train_and_predict()
def descend(depth):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert_same_bits(train_and_predict(), wanted)
            status = descend(depth - 1) if depth else 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert descend(2) == 0
""")


@needs_fork
def test_fork_while_another_thread_trains() -> None:
    run("""
wanted = train_and_predict()
going = True
def keep_training():
    model = classifier([64, 100, 4])
    while going:
        model.fit(x, y, verbose=0)
thread = threading.Thread(target=keep_training)
thread.start()
statuses = []
for _ in range(5):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert_same_bits(train_and_predict(), wanted)
            status = 0
        finally:
            os._exit(status)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
going = False
thread.join()
assert statuses == [0] * 5, statuses
""")


def test_models_train_at_once_from_several_python_threads() -> None:
    fnn.set_num_threads(2)
    x, y = blobs(512, n_features=40)

    def train(width: int) -> list[np.ndarray]:
        model = classifier([40, width, 4], seed=width)
        model.fit(x, y, epochs=4, batch_size=24, shuffle=False, verbose=0)
        return [*model.get_weights(), model.predict(x, verbose=0)]

    widths = [50, 97, 16]
    wanted = [train(width) for width in widths]
    for _ in range(3):
        results: dict[int, list[np.ndarray]] = {}

        def keep(width: int, results: dict = results) -> None:
            results[width] = train(width)

        threads = [threading.Thread(target=keep, args=(width,)) for width in widths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for width, arrays in zip(widths, wanted, strict=True):
            assert_same_bits(results[width], arrays)


def test_one_model_predicts_from_several_threads() -> None:
    x, y = blobs(512, n_features=40)
    model = classifier([40, 60, 4])
    model.fit(x, y, verbose=0)
    wanted = model.predict(x, verbose=0)
    same: list[bool] = []

    def predict() -> None:
        for _ in range(20):
            same.append(np.array_equal(model.predict(x, verbose=0), wanted))

    threads = [threading.Thread(target=predict) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert same == [True] * 60


@pytest.mark.parametrize("work", ["train", "predict"])
def test_the_gil_is_not_held(work: str) -> None:
    """While one long step runs, a Python thread that wakes every millisecond does wake."""
    fnn.set_num_threads(1)
    n = 4096
    x, y = blobs(n, n_features=784, n_classes=10)
    model = classifier([784, 1024, 1024, 10], metrics=None)
    wakes: list[float] = []
    going = True

    def tick() -> None:
        while going:
            wakes.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    if work == "train":
        model.train_on_batch(x, y)
    else:
        model.predict(np.tile(x, (3, 1)), batch_size=3 * n, verbose=0)
    end = time.perf_counter()
    going = False
    thread.join()

    marks = np.array([start, *(t for t in wakes if start < t < end), end])
    # With the GIL held, the longest gap would be the whole step.
    assert np.diff(marks).max() < 0.5 * (end - start)


INTERRUPT = """
import faulthandler
faulthandler.dump_traceback_later(50, exit=True)
fnn.set_num_threads(2)
big, labels = blobs(20000, n_features=784, n_classes=10)
model = classifier([784, 2048, 2048, 10])
model.fit(big[:256], labels[:256], verbose=0)
sent = []
def interrupt():
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)
threading.Timer(0.7, interrupt).start()
try:
    WORK
except KeyboardInterrupt:
    delay = time.perf_counter() - sent[0]
else:
    sys.exit("it finished before the interrupt")
weights = model.get_weights()
assert all(np.isfinite(w).all() for w in weights)
assert model.predict(big[:100], verbose=0).shape == (100, 10)
before = int(model.optimizer.iterations)
model.fit(big[:64], labels[:64], batch_size=32, verbose=0)
assert int(model.optimizer.iterations) == before + 2
assert any(np.any(a != b) for a, b in zip(weights, model.get_weights()))
print(delay)
"""


@pytest.mark.parametrize(
    "work",
    {
        "fit": "model.fit(big, labels, epochs=1000, verbose=0)",
        "fit-large-batches": "model.fit(big, labels, batch_size=1000, epochs=1000, verbose=0)",
        "evaluate": "[model.evaluate(big, labels, verbose=0) for _ in range(1000)]",
        "predict": "[model.predict(big, verbose=0) for _ in range(1000)]",
    }.items(),
    ids=lambda item: item[0],
)
def test_ctrl_c_stops_within_a_second_and_leaves_the_model_usable(work: tuple[str, str]) -> None:
    delay = float(run(INTERRUPT.replace("WORK", work[1]), timeout=90))
    assert delay < 1.0


def test_ctrl_c_stops_between_steps() -> None:
    """An interrupted fit leaves the state after some whole number of steps."""
    run("""
model, stepped = classifier([64, 100, 4]), classifier([64, 100, 4])
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    model.fit(x, y, batch_size=256, epochs=10**9, shuffle=False, verbose=0)
except KeyboardInterrupt:
    pass
steps = int(model.optimizer.iterations)
assert steps > 0
stepped.fit(x, y, batch_size=256, epochs=steps, shuffle=False, verbose=0)
assert_same_bits(model.get_weights(), stepped.get_weights())
""")


LONG_STEP = """
import faulthandler
faulthandler.dump_traceback_later(200, exit=True)
from fastnn import layers
fnn.utils.set_random_seed(0)
inputs = layers.Input((32, 32, 64))
hidden = layers.BatchNormalization()(inputs)
for _ in range(6):
    hidden = layers.Conv2D(64, 7, padding="same", activation="relu")(hidden)
outputs = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(hidden))
model = fnn.Model(inputs, outputs)
twin = fnn.Model.from_config(model.get_config())
twin.set_weights(model.get_weights())
for each in (model, twin):
    each.compile("adam", "sparse_categorical_crossentropy")
random = np.random.default_rng(0)
pictures, labels = random.normal(size=(96, 32, 32, 64)).astype(np.float32), np.arange(96) % 3
few = pictures[:2], labels[:2]
for each in (model, twin):
    each.train_on_batch(*few)
before = model.get_weights()
handled = []
def note(number, frame):
    handled.append(time.perf_counter())
sent = []
def send(number, seconds=0.7):
    def work():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), number)
    threading.Timer(seconds, work).start()
WORK
"""


@pytest.mark.parametrize(
    "work",
    ["train_on_batch(pictures, labels)", "fit(pictures, labels, batch_size=96, verbose=0)",
     "evaluate(pictures, labels, verbose=0)", "predict(pictures)"],
)  # fmt: skip
def test_ctrl_c_leaves_a_long_step(work: str) -> None:
    """It takes seconds, but no weight has changed in its first half: it is as if it never was."""
    run(
        LONG_STEP.replace(
            "WORK",
            f"""
send(signal.SIGINT)
begin = time.perf_counter()
try:
    model.{work}
except KeyboardInterrupt:
    delay = time.perf_counter() - sent[0]
else:
    sys.exit(f"it took {{time.perf_counter() - begin}} s, and no signal came")
assert delay < 1.0, delay
assert int(model.optimizer.iterations) == 1
assert_same_bits(model.get_weights(), before)
for each in (model, twin):
    for _ in range(3):
        each.train_on_batch(*few)
assert_same_bits(model.get_weights(), twin.get_weights())
assert_same_bits([model.predict(few[0])], [twin.predict(few[0])])
""",
        ),
        timeout=240,
    )


def test_a_handler_is_called_within_a_long_step() -> None:
    """One that raises nothing: the step goes on, to the same bits."""
    run(
        LONG_STEP.replace(
            "WORK",
            """
signal.signal(signal.SIGUSR1, note)
send(signal.SIGUSR1)
model.train_on_batch(pictures[:64], labels[:64])
end = time.perf_counter()
assert handled[0] - sent[0] < 1.0 and end - handled[0] > 0.2, (sent, handled, end)
twin.train_on_batch(pictures[:64], labels[:64])
assert_same_bits(model.get_weights(), twin.get_weights())
""",
        ),
        timeout=240,
    )


def test_ctrl_c_at_any_moment_of_a_step() -> None:
    """The step is done, to the last bit, or it never was."""
    run(
        LONG_STEP.replace(
            "WORK",
            """
batch = pictures[:12], labels[:12]
begin = time.perf_counter()
twin.train_on_batch(*batch)
length = time.perf_counter() - begin
states = [before, twin.get_weights()]
seen = []
for share in (0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9):
    each = fnn.Model.from_config(model.get_config())
    each.compile("adam", "sparse_categorical_crossentropy")
    each.set_weights(before)
    each._restore_training_state(model._training_state())
    send(signal.SIGINT, share * length)
    try:
        each.train_on_batch(*batch)
        time.sleep(10)
    except KeyboardInterrupt:
        pass
    done = int(each.optimizer.iterations) - 1
    assert_same_bits(each.get_weights(), states[done])
    seen.append(done)
assert 0 in seen, seen  # a busy machine may come to no signal late in a step
""",
        ),
        timeout=240,
    )
