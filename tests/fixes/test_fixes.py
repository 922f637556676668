"""Fixes: what is promised is what the edited script needs, and nothing else of it changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vramlint.fixes.catalogue import fixes
from vramlint.mend import Mender, edited
from vramlint.pipeline import analyze
from vramlint.rules.advice import offers
from vramlint.settings import Settings, find_gpu
from vramlint.source.neighbours import InMemory
from vramlint.source.parse import parse
from vramlint.source.read import document

if TYPE_CHECKING:
    from vramlint.report import FileReport
    from vramlint.rules.finding import Fix
    from vramlint.source.document import Document

EXAMPLES = Path(__file__).parents[2] / "examples"
SETTINGS = Settings(gpu=find_gpu("RTX 4090", "test"))

EAGER = """\
import torch
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

# Attention as the paper writes it.
model = AutoModelForCausalLM.from_pretrained("gpt2-large", attn_implementation="eager")

args = TrainingArguments(
    "out",
    per_device_train_batch_size=8,  # as many as the paper
    bf16=True,  # the card can
)
Trainer(model=model, args=args, train_dataset=data).train()  # vramlint: set sequence_length=1024
"""

PREFERENCES = """\
from datasets import load_dataset
from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer

model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen2.5-1.5B", torch_dtype="bfloat16")
config = DPOConfig(output_dir="dpo", per_device_train_batch_size=4, max_length=1024, bf16=True)
trainer = DPOTrainer(model=model, args=config, train_dataset=load_dataset("trl-lib/ultrafeedback", split="train"))
trainer.train()
"""

ZEROED = '''\
"""A loop that keeps its gradients."""
import torch as th
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("gpt2-xl")
model.cuda()
optimizer = th.optim.AdamW(model.parameters(), lr=1e-4)
accumulate = 4
for step, batch in enumerate(th.utils.data.DataLoader(data, batch_size=4)):
    loss = model(input_ids=batch, labels=batch).loss / accumulate  # vramlint: set sequence_length=512
    loss.backward()
    if (step + 1) % accumulate == 0:
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
'''

EACH = ZEROED.replace(
    "    if (step + 1) % accumulate == 0:\n        optimizer.step()\n        opt",
    "    optimizer.step()\n    opt",
)
KEPT = EACH.replace("accumulate = 4", "accumulate = 1")
STEP = EACH.replace("batch_size=4", "batch_size=1").replace("sequence_length=512", "sequence_length=32")


@dataclass(frozen=True)
class Case:
    """A script, and its report."""

    document: Document
    report: FileReport

    @property
    def helpful(self) -> tuple[Fix, ...]:
        """Return every fix that helps its first run, with edits."""
        found = offers(self.report.runs[0], tuple(fixes()), most=len(fixes()))
        mender = Mender(self.report, self.document, SETTINGS, InMemory())
        return tuple(mender.fix(fix, 0) for fix in found)


def case(name: str, text: str) -> Case:
    """Read a script as an editor's buffer."""
    read, _ = document(name, text)
    return Case(read, analyze(read, SETTINGS, InMemory()))


TEXTS = {
    **{path.name: path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.py"))},
    "notebook.ipynb": (EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"),
    "eager.py": EAGER,
    "preferences.py": PREFERENCES,
    "zeroed.py": ZEROED,
    "kept.py": KEPT,
    "step.py": STEP,
}
CASES = {name: case(name, text) for name, text in TEXTS.items()}
APPLIED = [(name, fix) for name, one in CASES.items() for fix in one.helpful if fix.edits]


@pytest.mark.parametrize(("name", "fix"), APPLIED, ids=[f"{name}-{fix.name}" for name, fix in APPLIED])
def test_the_promise_holds(name: str, fix: Fix) -> None:
    """The edited script parses, has the same runs, and its peak is lower by what the title says."""
    one = CASES[name]
    after = edited(one.document, fix.edits)
    assert () == parse(after).issues
    report = analyze(after, SETTINGS, InMemory())
    before, now = one.report.runs[0].estimate, report.runs[0].estimate
    assert len(one.report.runs) == len(report.runs)
    assert before is not None
    assert now is not None
    saved = before.allocated.expected - now.allocated.expected
    assert fix.saving == pytest.approx(saved, abs=0.005 * before.allocated.expected)
    if "then it fits" in fix.title:
        assert "yes" == report.runs[0].fits


def test_every_edit_is_tried() -> None:
    """Each fix that can edit does so in one of the scripts above, but for those that these cannot show."""
    can = {name for name, fix in fixes().items() if hasattr(fix, "edit")}
    assert {"flash-attention"} >= can - {fix.name for _, fix in APPLIED}


def test_silent_where_nothing_is_trained() -> None:
    """A script that only generates has no fix for gradients or states."""
    text = (
        "from transformers import AutoModelForCausalLM\n"
        "model = AutoModelForCausalLM.from_pretrained('gpt2').cuda()\n"
        "model.generate(ids, max_new_tokens=64)\n"
    )
    one = case("generate.py", text)
    assert {"adafactor", "gradient-checkpointing", "lora"}.isdisjoint(fix.name for fix in one.helpful)


def _after(name: str, fix_name: str) -> str:
    one = CASES[name]
    (fix,) = [fix for fix in one.helpful if fix.name == fix_name]
    return edited(one.document, fix.edits).cells[0].text


def test_formatting_is_kept() -> None:
    """An argument that is added has its own line where the others have, and comments stay with their lines."""
    text = _after("eager.py", "gradient-checkpointing")
    expected = """\
    bf16=True,  # the card can
    gradient_checkpointing=True,
)
"""
    assert EAGER.replace("    bf16=True,  # the card can\n)\n", expected) == text


def test_an_argument_is_replaced_in_place() -> None:
    """A value that is given already is exchanged, and nothing around it moves."""
    assert EAGER.replace('"eager"', '"sdpa"') == _after("eager.py", "sdpa-attention")


def test_imports_follow_the_scripts_own_names() -> None:
    """An import that is needed joins the others; a module that has a name already keeps it."""
    text = _after("zeroed.py", "eight-bit-optimizer")
    assert "from transformers import AutoModelForCausalLM\nimport bitsandbytes as bnb\n" in text
    assert "optimizer = bnb.optim.AdamW8bit(model.parameters(), lr=1e-4)" in text
    weights = _after("zeroed.py", "half-precision-weights")
    assert 'from_pretrained("gpt2-xl", torch_dtype=th.bfloat16)' in weights
    assert weights.count("import torch") == 1


def test_set_to_none_goes() -> None:
    """Only the argument that keeps the gradients is taken out."""
    text = _after("kept.py", "gradients-to-none")
    assert KEPT.replace("zero_grad(set_to_none=False)", "zero_grad()") == text


def test_what_cannot_be_written_stays_advice() -> None:
    """Arguments that come from a parser, or a loop that does not accumulate, are not edited by guess."""
    text = EAGER.replace(
        "args = TrainingArguments(",
        "from transformers import HfArgumentParser\n(args,) = HfArgumentParser(TrainingArguments)"
        ".parse_args_into_dataclasses()\nunused = dict(",
    )
    one = case("parser.py", text)
    if one.report.runs and one.report.runs[0].estimate is not None:
        assert all(not fix.edits for fix in one.helpful if fix.name == "gradient-checkpointing")


def test_safety() -> None:
    """What changes the arithmetic, the data or the packages is unsafe; advice without an edit is for display."""
    safe = {name for name, fix in fixes().items() if fix.SAFETY == "safe"}
    assert {
        "fused-optimizer",
        "gradient-checkpointing",
        "gradients-to-none",
        "precomputed-reference",
        "sdpa-attention",
    } == safe
    for name, fix in fixes().items():
        assert hasattr(fix, "edit") is (fix.SAFETY != "display"), name
