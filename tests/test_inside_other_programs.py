"""fastnn inside other programs: those of docs/embedding.md, and what the page says.

What may hang runs in a process of its own, with a time limit.
"""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
NET, *PROGRAMS = SimpleNamespace(
    **runpy.run_path(str(ROOT / "tools" / "refresh_tutorial.py"))
).blocks(PAGE)
SECONDS = 120
"""More than enough on a busy machine; a hang fails."""

Start = Callable[..., "subprocess.Popen[str]"]


def title(program: Any) -> str:
    return str(re.findall(r"^## (.*)$", PAGE[: PAGE.index(program.code)], re.MULTILINE)[-1])


@pytest.fixture
def run(start: Start, tmp_path: Path) -> Callable[..., str]:
    """Output of a program beside ``net.py``, which must end well."""

    def output(code: str, **environment: str) -> str:
        (tmp_path / "net.py").write_text(NET.code, encoding="utf-8")
        program = tmp_path / "program.py"
        program.write_text(code, encoding="utf-8")
        settings = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
        child = start(sys.executable, str(program), env=settings | environment, cwd=tmp_path)
        out, err = child.communicate(timeout=SECONDS)
        assert child.returncode == 0, out + err
        return str(out)

    return output


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = fnn.get_num_threads()
    fnn.set_num_threads(2)
    yield
    fnn.set_num_threads(before)


def needs(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


@pytest.mark.parametrize("program", PROGRAMS, ids=title)
def test_a_program_of_the_page(program: Any, run: Callable[..., str]) -> None:
    for module in ("joblib", "sklearn", "threadpoolctl"):
        if re.search(rf"^(from|import) {module}\b", program.code, re.MULTILINE):
            needs(module)
    assert (
        run(program.code, FASTNN_NUM_THREADS="2" * ("loky" not in program.code)) == program.output
    )


# Cores


def members_of_calls_at_once(count: int) -> list[int]:
    """Sizes of the teams of so many predictions that go on at the same time."""
    together = threading.Barrier(count, timeout=60)

    class Meet(layers.NumPyLayer):
        def forward(self, x: np.ndarray) -> np.ndarray:
            together.wait()
            return x

        def backward(self, x: np.ndarray, y: np.ndarray, dy: np.ndarray) -> np.ndarray:
            return dy

    model = fnn.Sequential([layers.Input((8,)), Meet()])
    pool = model._executables.predictors(4)
    lent = [pool.take() for _ in range(count)]
    x = np.ones((4, 8), np.float32)

    def predict(executable: Any) -> None:
        from fastnn.engine.sources import Rows

        out = np.empty((4, 8), np.float32)
        executable.run([Rows(x)], np.arange(4), 0, 4, 4, None, np.zeros(0), [out], 5, 1.0)

    threads = [threading.Thread(target=predict, args=(each,)) for each in lent]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted((each.members for each in lent), reverse=True)


def test_calls_at_the_same_time_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastnn.engine import executable

    monkeypatch.setattr(executable, "usable_cores", lambda: 7)
    assert members_of_calls_at_once(1) == [5]
    assert members_of_calls_at_once(4) == [5, 2, 1, 1]
    assert members_of_calls_at_once(1) == [5]  # all were given back


def test_threadpoolctl_limits_the_calling_thread_only() -> None:
    needs("threadpoolctl")
    from threadpoolctl import threadpool_limits

    elsewhere: list[int] = []
    fnn.set_num_threads(2)
    with threadpool_limits(1):
        assert fnn.get_num_threads() == 1
        thread = threading.Thread(target=lambda: elsewhere.append(fnn.get_num_threads()))
        thread.start()
        thread.join()
    assert elsewhere == [2] and fnn.get_num_threads() == 2
    with threadpool_limits(64):
        assert fnn.get_num_threads() == 2


def test_a_limit_while_fastnn_is_imported(run: Callable[..., str]) -> None:
    needs("threadpoolctl")
    from threadpoolctl import threadpool_info

    loaded = [each for each in threadpool_info() if each["user_api"] == "openmp"]
    if max((each["num_threads"] for each in loaded), default=1) == 1:
        pytest.skip("OpenMP has but one thread here: no limit is below it")
    code = f"""
import ctypes
from threadpoolctl import threadpool_limits
libraries = [ctypes.CDLL(path) for path in {[each["filepath"] for each in loaded]}]
with threadpool_limits(1):
    import fastnn as fnn
    fnn.set_num_threads(2)
    print(fnn.get_num_threads())
print(fnn.get_num_threads())
"""
    assert run(code) == "1\n2\n"


# Training and prediction of one model


UNITS = 200_000


def moving_together() -> tuple[Any, np.ndarray, np.ndarray]:
    """A model whose weights all move alike, with x and y: its outputs are equal between two steps,
    and grow from step to step."""
    zeros = {"kernel_initializer": "zeros", "bias_initializer": "zeros"}
    model = fnn.Sequential([layers.Input((1,)), layers.Dense(UNITS, **zeros)])
    model.compile(fnn.optimizers.SGD(float(UNITS)), "mean_absolute_error")
    return model, np.ones((8, 1), np.float32), np.full((8, UNITS), 1e9, np.float32)


def test_a_prediction_sees_weights_between_two_steps() -> None:
    model, x, y = moving_together()
    going = True

    def train() -> None:
        while going:
            model.fit(x, y, batch_size=1, epochs=3, verbose=0)

    thread = threading.Thread(target=train)
    thread.start()
    seen = []
    end = time.perf_counter() + 1.5
    while time.perf_counter() < end:
        outputs = model.predict(x[:1])
        seen.append((outputs.min(), outputs.max()))
    going = False
    thread.join()
    least, most = np.array(seen).T
    assert np.array_equal(least, most)
    assert (np.diff(least) >= 0).all() and len(set(least)) > 3


def test_two_trainings_of_one_model_at_once_are_refused() -> None:
    """The second begins within a step of the first, in another thread."""
    second: list[threading.Thread] = []
    refused: list[BaseException] = []

    def loss(y_true: np.ndarray, y_pred: np.ndarray) -> tuple[float, np.ndarray]:
        if not second:
            second.append(threading.Thread(target=train))
            second[0].start()
            second[0].join(SECONDS)
        return 0.0, np.zeros_like(y_pred)

    def train() -> None:
        try:
            model.train_on_batch(x, y)
        except RuntimeError as error:
            refused.append(error)

    x, y = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)
    model = fnn.Sequential([layers.Input((3,)), layers.Dense(2)])
    model.compile("sgd", loss)
    model.train_on_batch(x, y)
    assert len(refused) == 1 and "another thread" in str(refused[0])
    model.train_on_batch(x, y)
    assert model.optimizer.iterations == 2


def test_a_function_within_a_step_may_predict(run: Callable[..., str]) -> None:
    code = """
import os, sys
import numpy as np
import fastnn as fnn
from fastnn import layers

def loss(y_true, y_pred):
    assert np.array_equal(model.predict(x), y_pred)
    return 0.0, np.ones_like(y_pred)

x, y = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)
model = fnn.Sequential([layers.Input((3,)), layers.Dense(2)])
model.compile("sgd", loss)
model.train_on_batch(x, y)
child = os.fork()
if child == 0:
    model.train_on_batch(x, y)
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), model.optimizer.iterations)
"""
    assert run(code) == "7 1\n"


# Fork


def test_a_child_gets_whole_weights_and_no_lock(run: Callable[..., str]) -> None:
    """Forked while other threads train and predict with the model, the child does both."""
    code = """
import os, threading, time
import numpy as np
import fastnn as fnn
from test_inside_other_programs import moving_together
from fastnn.models import executables

fnn.set_num_threads(2)
model, x, y = moving_together()
going = True
def train():
    while going:
        model.fit(x, y, batch_size=1, epochs=3, verbose=0)
def predict():
    while going:
        model.predict(x[:1])
        time.sleep(0.01)
threads = [threading.Thread(target=work) for work in (train, predict)]
for thread in threads:
    thread.start()
time.sleep(0.2)
statuses = []
for _ in range(10):
    child = os.fork()
    if child == 0:
        whole = np.ptp(model.predict(x[:1])) == 0
        model.fit(x, y, verbose=0)
        os._exit(7 if whole else 1)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

def hold():
    with executables._lock:
        held.set()
        time.sleep(0.3)
held = threading.Event()
threads.append(threading.Thread(target=hold))
threads[-1].start()
held.wait()
child = os.fork()
if child == 0:
    model.predict(x[:2])
    os._exit(7)
statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
going = False
for thread in threads:
    thread.join()
print(set(statuses))
"""
    assert run(f"import warnings; warnings.simplefilter('ignore')\n{code}") == "{7}\n"


def test_a_forked_process_predicts_at_the_speed_of_its_parent(run: Callable[..., str]) -> None:
    """Its team is made once, not for each call: the same threads stay."""
    code = """
import os
import numpy as np
from net import trained
model = trained(0)
x = np.ones((256, 64), np.float32)
model.predict(x)
def threads():
    return sorted(os.listdir("/proc/self/task"))
child = os.fork()
if child == 0:
    model.predict(x)
    before = threads()
    for _ in range(10):
        model.predict(x)
    os._exit(7 if len(before) == 2 and threads() == before else len(before))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("no list of threads")
    assert run(code, FASTNN_NUM_THREADS="2") == "7\n"


# Other libraries with an OpenMP of their own

BOTH = {
    "sklearn": """
from sklearn.ensemble import HistGradientBoostingClassifier
def other():
    trees = HistGradientBoostingClassifier(max_iter=2).fit(x, y)
    assert trees.score(x, y) > 0.8
""",
    "torch": """
import torch
def other():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 4))
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(inputs), labels).backward()
        optimizer.step()
    with torch.no_grad():
        assert (net(inputs).argmax(1) == labels).float().mean() > 0.8
""",
}


@pytest.mark.parametrize("first", ["fastnn", "other"])
@pytest.mark.parametrize("library", BOTH)
def test_beside_another_openmp(library: str, first: str, run: Callable[..., str]) -> None:
    """torch is in no extra of ours: install it to run its part."""
    needs(library)
    imports = ["from net import answers, x, y\n", BOTH[library]]
    if first == "other":
        imports.reverse()
    code = """
import os, threading
wanted = answers(0)
other()
assert answers(0) == wanted
threads = [threading.Thread(target=work) for work in (other, lambda: answers(1))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
child = os.fork()
if child == 0:
    os._exit(7 if answers(0) == wanted else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
other()
print(answers(0) == wanted)
"""
    assert run("".join(imports) + code, FASTNN_NUM_THREADS="2", OMP_NUM_THREADS="2") == "True\n"


# Sub-interpreters


def test_a_second_interpreter_gets_an_import_error(run: Callable[..., str]) -> None:
    needs("_xxsubinterpreters")
    code = """
import _xxsubinterpreters as interpreters
import fastnn
second = interpreters.create()
try:
    interpreters.run_string(second, "import fastnn")
except interpreters.RunFailedError as error:
    print("ImportError" in str(error))
interpreters.destroy(second)
fastnn.Sequential
"""
    assert run(f"import warnings; warnings.simplefilter('ignore')\n{code}") == "True\n"
