"""What holds for every input: a report for any text, nothing of it executed, the same answer twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from time import perf_counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vramlint.pipeline import analyze
from vramlint.settings import Settings
from vramlint.source.read import document

if TYPE_CHECKING:
    from vramlint.report import FileReport

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted([*ROOT.glob("examples/*.py"), *ROOT.glob("examples/*.ipynb")])
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES}

# The bound is for a machine that does other things too; most files take a hundredth of it.
MOST_SECONDS = 10.0

# Reproducible, so that a failure comes from the change at hand.
THOROUGH = settings(
    derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)

# What training scripts are made of, so that random text reaches further than the parser.
FRAGMENTS = (
    "import torch", "from transformers import *", "optimizer = torch.optim.AdamW(model.parameters())",
    "model = AutoModelForCausalLM.from_pretrained('gpt2')", "loss.backward()", "optimizer.step()",
    "for batch in loader:", "    ", "while True:", "args = parser.parse_args()", "class A(B):", "# %%",
    "def f():", "lambda:", "batch_size = batch_size", "x = [x, x]", "**d", "%%bash", "!pip install torch",
    "2 ** 2 ** 100", "'x' * 10**12", "10**10**10", "1 / 0", "f'{x!r:>{y}}'",
    "# vramlint: set micro_batch_size=", "# vramlint: ignore[",
    "Trainer(**kwargs).train()", "TrainingArguments(per_device_train_batch_size=-1)",
    "\t", "\\", "\x00", "\ufeff", "😀", "\r\n", "'''", "(", ")", "[", "}",
)  # fmt: skip


SILENT = (
    """
    from transformers import pipeline
    print(pipeline("text-generation", model="gpt2")("Hello"))
    """,
    """
    @dataclass
    class Config:
        per_device_train_batch_size: int = 8
        optim: str = "adamw_torch"
    """,
    """
    class Net(torch.nn.Module):
        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters())
    """,
    """
    class Wrapped(torch.optim.Optimizer):
        def step(self):
            self.inner.step()
    """,
    """
    import tensorflow as tf
    model = tf.keras.Sequential()
    model.fit(x, y, batch_size=32)
    """,
    """
    def train(batch_size=8):
        raise NotImplementedError
    """,
    """
    print("loss.backward(); optimizer.step(); Trainer().train()")
    # loss.backward()
    """,
    "",
)


def report_on(text: str, path: str = "train.py") -> FileReport:
    """Analyze one text by itself, and check that it took a bearable time and met no bug of ours."""
    began = perf_counter()
    read, issues = document(path, text)
    report = analyze(read, Settings(), {}, issues)
    assert MOST_SECONDS > perf_counter() - began
    assert [] == [finding.message for finding in report.findings if finding.rule == "internal-error"]
    return report


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, str]:
    """Draw an example with lines removed, repeated, moved, cut in the middle, or garbled."""
    name = draw(st.sampled_from(sorted(TEXTS)))
    lines = TEXTS[name].splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(lines) - 1, 0)))
        to = draw(st.integers(at, min(at + 12, len(lines))))
        match draw(st.sampled_from(("delete", "repeat", "move", "cut", "insert", "garble"))):
            case "delete":
                del lines[at:to]
            case "repeat":
                lines[at:at] = lines[at:to]
            case "move":
                lines[at:to] = reversed(lines[at:to])
            case "cut":
                lines = ["".join(lines)[: draw(st.integers(0, len("".join(lines))))]]
            case "insert":
                lines.insert(at, draw(st.sampled_from(FRAGMENTS)) + draw(st.sampled_from(("", "\n"))))
            case "garble":
                lines.insert(at, draw(st.text(max_size=20)))
    return name, "".join(lines)


@THOROUGH
@given(mutations())
def test_a_broken_script_gets_a_report(mutation: tuple[str, str]) -> None:
    """Invariant 1: whatever is done to a script or notebook, its analysis returns a report on it."""
    name, text = mutation
    assert name == report_on(text, name).path


@THOROUGH
@given(
    st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=10)), max_size=30),
    st.sampled_from("\n ;"),
)
def test_any_text_gets_a_report(pieces: list[str], joint: str) -> None:
    """Invariant 1: text that never was a program gets a report too, as a script and as a notebook."""
    text = joint.join(pieces)
    assert "train.py" == report_on(text).path
    assert "train.ipynb" == report_on(text, "train.ipynb").path


@pytest.mark.parametrize(
    "text",
    [
        "n = " + "(" * 5_000 + "1" + ")" * 5_000,
        "n = " + "-" * 20_000 + "1",
        "n = " + "+".join(["1"] * 20_000),
        "n = " + "+".join(["1"] * 900),
        "n = " + "f(" * 90 + ")" * 90,
        "n = x" + ".y" * 20_000,
        "if a:\n" + "".join(" " * depth + "if a:\n" for depth in range(1, 99)) + " " * 99 + "n = 1",
        "n = len('" + "a" * 1_900_000 + "')",
        "n = '" + "a" * 10_000_000 + "'",
        "\n".join(f"x{index} = x{index + 1}" for index in reversed(range(5_000))) + "\nn = x0",
        "\n".join(f"def f{index}(n): return f{(index + 1) % 50}(n)" for index in range(50)) + "\nn = f0(1)",
        "n = n\ny = z\nz = y\nn = y + n\nfrom train import n",
        "n = 1\n" + "n = n + n\n" * 2_000,
        "n = 'ab'\n" + "n = n * 1000\n" * 20,
        "n = [1]\n" + "n = n + n\n" * 60,
        "n = 10 ** 10 ** 10",
        "n = 1 << 10 ** 12",
        "n = f'{1:>{10 ** 12}}'",
        "n = len(range(10 ** 18)) * sum(range(10 ** 12)) + max([1] * 10 ** 12)",
        "".join(f"if a{index}:\n    n = {index}\n" for index in range(300)),
        "".join(f"n{index} = 1 if a{index} else 2\n" for index in range(40))
        + "n = " + " + ".join(f"n{index}" for index in range(40)),
    ],
    ids=lambda text: f"{text[:16]!r}… {len(text)}",
)  # fmt: skip
def test_hostile_text_is_bounded(text: str) -> None:
    """Invariant 1: deep nesting, endless chains, self-reference and numbers without end cost bounded time."""
    training = """
from transformers import Trainer, TrainingArguments
Trainer(m, TrainingArguments("o", per_device_train_batch_size=n)).train()
"""
    assert "train.py" == report_on(text + training).path


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_the_examples_hold_a_training(name: str) -> None:
    """The mutations above start from files whose training is found and estimated."""
    assert [None] == [subject.why_not for subject in report_on(TEXTS[name], name).runs]


def test_the_project_itself_is_no_training() -> None:
    """Invariant 11: our own source is full of framework names and trains nothing: nothing to say."""
    talkative = [
        f"{path}: {report.runs or report.findings}"
        for path in sorted((ROOT / "analyzer").rglob("*.py"))
        if (report := report_on(path.read_text(encoding="utf-8"), path.name)).findings or report.runs
    ]
    assert [] == talkative


@pytest.mark.parametrize("text", SILENT)
def test_a_file_without_training_gets_no_findings(text: str) -> None:
    """Invariant 11: names that occur in training scripts are no training."""
    assert () == report_on(dedent(text)).findings


# What the subprocess below runs first. Both `import` and `exec()` raise the event `exec`; code from files of
# the interpreter, of installed packages and of vramlint is not the user's.
WATCH = """
import os, sys
TRUSTED = tuple(os.path.realpath(folder) for folder in {trusted!r})
def refuse(event, arguments):
    if event == "exec":
        file = getattr(arguments[0], "co_filename", "?")
        if file.startswith("<frozen") or os.path.isabs(file) and file.startswith(TRUSTED):
            return
        caller = sys._getframe(1).f_code.co_filename
        if file.startswith("<") and caller.startswith(TRUSTED):
            return  # dataclasses and namedtuple make their methods this way
    elif event == "import":
        if arguments[0].split(".")[0] not in {untouchable!r}:
            return
    elif event == "open":
        mode, flags = arguments[1] or "r", arguments[2] or 0
        if not set(mode) & set("wax+") and not flags & (os.O_WRONLY | os.O_RDWR):
            return
    elif not event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn",
                               "os.remove", "os.rename", "ctypes.", "urllib.", "pickle.", "shutil.")):
        return
    sys.stderr.write(f"REFUSED {{event}} {{arguments!r}}\\n")
    sys.stderr.flush()
    os._exit(70)
sys.addaudithook(refuse)
"""

HOSTILE = """
import evil
from evil import MODEL
open("touched", "w").write("executed")
__import__("os").system("touch touched")
exec("open('touched', 'w')")
import torch
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments
class Meta(type):
    def __new__(cls, *args):
        open("touched", "w")
@print("decorated")
class A(metaclass=Meta):
    size = eval("open('touched', 'w')")
def f(x=open("touched", "w")):
    return f"{open('touched', 'w')}"
BATCH = 2 + len(__import__("evil").__name__)
model = AutoModelForCausalLM.from_pretrained(MODEL, trust_remote_code=True)
args = TrainingArguments("out", per_device_train_batch_size=BATCH, optim=getattr(evil, "OPTIM"))
Trainer(model, args).train()
"""

UNTOUCHABLE = ("evil", "torch", "transformers", "peft", "datasets", "accelerate", "pygls", "lsprotocol")


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """Lay out a project whose code, and whose stand-ins for heavy libraries, leave a trace when they run."""
    (tmp_path / "train.py").write_text(HOSTILE)
    cell: dict[str, object] = {
        "cell_type": "code",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": HOSTILE,
    }
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "train.ipynb").write_text(json.dumps(notebook))
    for name in UNTOUCHABLE:
        (tmp_path / f"{name}.py").write_text("open('touched', 'w')\nMODEL = 'gpt2'\nOPTIM = 'adamw_torch'\n")
    return tmp_path


def run_watched(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in `folder`, which is on its path, under the audit hook."""
    import vramlint  # noqa: PLC0415 - only to ask where it lies

    trusted = [
        sys.prefix,
        sys.base_prefix,
        str(Path(vramlint.__file__).parent),
        str(Path(os.__file__).parent),
    ]
    watch = WATCH.format(trusted=trusted, untouchable=UNTOUCHABLE)
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", watch + code], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["train.py", "train.ipynb"])
def test_checking_executes_nothing_of_the_users(trap: Path, name: str) -> None:
    """Invariants 1 and 2: a check runs, imports, writes, connects and starts nothing; it only reads."""
    arguments = ["check", name, "--gpu", "24GB", "--format", "json"]
    done = run_watched(f"from vramlint.cli import main\nsys.exit(main({arguments!r}))", trap)
    assert "REFUSED" not in done.stderr
    assert done.returncode in {0, 1}, done.stderr
    assert not (trap / "touched").exists()
    assert 1 == len(json.loads(done.stdout)["files"][0]["runs"])


@pytest.mark.parametrize(
    "code",
    [
        "import evil",
        "exec('1')",
        "exec(compile(open('train.py').read(), 'train.py', 'exec'))",
        "import subprocess; subprocess.run(['true'])",
        "import socket; socket.create_connection(('localhost', 9))",
        "open('touched', 'w')",
        "os.system('true')",
    ],
)
def test_the_watch_notices(trap: Path, code: str) -> None:
    """The test above can fail: each of these is refused."""
    assert "REFUSED" in run_watched(code, trap).stderr


def test_importing_the_package_imports_nothing_heavy() -> None:
    """Invariant 2: `import vramlint` costs next to nothing, not even pydantic."""
    heavy = "torch", "transformers", "pygls", "libcst", "pydantic", "rich"
    code = f"import sys, vramlint; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()


def test_a_check_that_offers_fixes_imports_nothing_that_edits() -> None:
    """The text for people names the fixes and what they save; libcst is for those who take the edits."""
    heavy = "torch", "transformers", "pygls", "libcst"
    code = (
        "import sys; sys.argv[1:] = ['check', 'examples/finetune_llama_trainer.py', '--gpu', 'RTX 4090']\n"
        "from vramlint.__main__ import main\n"
        f"main(); print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "saves" in done.stdout
    assert "[]" == done.stdout.splitlines()[-1]


def test_the_answer_does_not_depend_on_the_hash_seed() -> None:
    """Invariant 3: text and JSON are the same, byte by byte, whatever the order of sets."""
    for form in ("json", "text"):
        command = [
            sys.executable,
            "-m",
            "vramlint",
            "check",
            "examples",
            "--gpu",
            "RTX 4090",
            "--format",
            form,
        ]
        answers = {_output(command, seed) for seed in range(4)}
        assert 1 == len(answers)
        assert answers != {b""}


def _output(command: list[str], seed: int) -> bytes:
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False).stdout
