"""Model classes of the user's own: read from the script, and held to a run of the same script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vramlint import analyze
from vramlint.source.read import document

if TYPE_CHECKING:
    from vramlint.rules.subject import Subject

DATA = Path(__file__).parents[2] / "benchmarks" / "data" / "own_models.jsonl"
ROWS = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
LIMIT = 0.01


def subject_of(text: str, files: dict[str, str] | None = None) -> Subject:
    """Return the only run of a script."""
    read, issues = document("train.py", text)
    report = analyze(read, neighbours=files or {}, issues=issues)
    assert [] == [finding for finding in report.findings if finding.rule == "internal-error"]
    (subject,) = report.runs
    return subject


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_script_of_its_own_model(row: dict[str, Any]) -> None:
    """Parameters are exact; the peak, and the peaks of forward, backward and step, are within one percent."""
    estimate = subject_of(row["script"]).estimate
    assert estimate is not None
    truth, phases = row["truth"], estimate.phases
    assert truth["params_total"] == estimate.parameters
    figures = {
        "allocated_peak": estimate.allocated.expected,
        "fwd_max": phases["forward"].peak,
        "fwd_end": phases["forward"].end,
        "bwd_max": phases["backward"].peak,
        "opt_max": phases["optimizer_step"].peak,
    }
    wanted = {**truth["phases"], "allocated_peak": truth["allocated_peak"]}
    errors = {name: figure / wanted[name] - 1 for name, figure in figures.items() if name in wanted}
    assert {} == {name: error for name, error in errors.items() if abs(error) > LIMIT}


HEAD = """
import torch
import torch.nn as nn
import torchvision
"""
LOOP = """
loader = torch.utils.data.DataLoader(data, batch_size=8)
model = Net().cuda()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
criterion = nn.CrossEntropyLoss()
for images, labels in loader:
    loss = criterion(model(images.cuda()), labels.cuda())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


def test_a_branch_that_the_data_decides_gives_no_figure() -> None:
    """The parameters are counted all the same, and the line is named."""
    text = (
        HEAD
        + (
            "image_size = 32\nclass Net(nn.Module):\n"
            "    def __init__(self):\n        super().__init__()\n        self.conv = nn.Conv2d(3, 4, 3)\n"
            "    def forward(self, x):\n        if x.mean() > 0:\n            x = x * 2\n"
            "        return self.conv(x).mean((2, 3))\n"
        )
        + LOOP
    )
    why_not = subject_of(text).why_not
    assert why_not is not None
    assert "112 parameters" in why_not
    assert "if x.mean() > 0" in why_not
    assert "train.py:11" in why_not


def test_an_image_size_that_nobody_says_is_asked_for() -> None:
    """A convolution takes images of any size, so there is no figure without one."""
    text = (
        HEAD.replace("import torchvision", "")
        + (
            "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "        self.conv = nn.Conv2d(3, 4, 3)\n"
            "    def forward(self, x):\n        return self.conv(x).mean((2, 3))\n"
        )
        + LOOP
    )
    why_not = subject_of(text).why_not
    assert why_not is not None
    assert "--set image_size" in why_not


def test_sizes_that_do_not_fit_are_said() -> None:
    """What torch would refuse gets no figure, and the statement is shown."""
    text = (
        HEAD
        + (
            "image_size = 32\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "        self.fc = nn.Linear(100, 10)\n        self.conv = nn.Conv2d(3, 4, 3)\n"
            "    def forward(self, x):\n        return self.fc(self.conv(x).flatten(1))\n"
        )
        + LOOP
    )
    assert subject_of(text).estimate is None


def test_an_endless_loop_ends() -> None:
    """A model that never returns takes a bounded number of steps and gives a reason."""
    text = (
        HEAD
        + (
            "image_size = 32\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "        self.conv = nn.Conv2d(3, 4, 3)\n        n = 0\n        while True:\n            n = n + 1\n"
            "    def forward(self, x):\n        return self.conv(x)\n"
        )
        + LOOP
    )
    assert "too many steps" in (subject_of(text).why_not or "")


def test_a_class_of_another_file_is_read_there() -> None:
    """The model's file is a neighbour of the script."""
    model = (
        "import torch.nn as nn\nclass Net(nn.Sequential):\n    def __init__(self, width=16):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(width, 10))\n"
    )
    text = "import torch\nimport torch.nn as nn\nfrom model import Net\n" + LOOP
    estimate = subject_of(text, {"model.py": model}).estimate
    assert estimate is not None
    assert 170 == estimate.parameters


CHANGED = (
    "class Config:\n    width = 16\nclass Net(nn.Sequential):\n    def __init__(self, config):\n"
    "        super().__init__(nn.Flatten(), nn.Linear(config.width, 10))\nconfig = Config()\n"
)


def test_what_a_branch_may_change_in_a_configuration_is_not_guessed() -> None:
    """A default is no answer where the script may replace it."""
    changed = HEAD + CHANGED + "if data:\n    config.width = 32\n" + LOOP.replace("Net()", "Net(config)")
    subject = subject_of(changed)
    assert subject.estimate is None
    assert "`config.width` depends on the run" in (subject.why_not or "")


def test_recurrent_layers_have_a_range_and_say_why() -> None:
    """How much cuDNN keeps for backward is its own affair."""
    text = (
        HEAD
        + "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        + "        self.rnn = nn.LSTM(64, 512, batch_first=True)\n        self.fc = nn.Linear(512, 10)\n"
        + "    def forward(self, x):\n        return self.fc(self.rnn(x)[0][:, -1])\n"
        + LOOP.replace("batch_size=8)", "batch_size=8)  # vramlint: set sequence_length=1000")
    )
    estimate = subject_of(text).estimate
    assert estimate is not None
    reserve = 8 * 1000 * 512 * 5 * 4
    assert estimate.allocated.high - estimate.allocated.expected > reserve
    assert estimate.allocated.expected - estimate.allocated.low > reserve
    assert any("cuDNN" in note for note in estimate.assumptions)


def test_sizes_that_the_script_counts_are_read() -> None:
    """A vocabulary out of sentences that stand in the script has a length."""
    text = (
        HEAD
        + 'words = " ".join(["i like dog", "i love coffee"]).split()\n'
        + "places = {word: i for i, word in enumerate(set(words))}\nclasses = len(places)\n"
        + "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        + "        self.embed = nn.Embedding(classes, 4)\n        self.fc = nn.Linear(4, classes)\n"
        + "    def forward(self, x):\n        return self.fc(self.embed(x).mean(1))\n"
        + LOOP.replace("batch_size=8)", "batch_size=8)  # vramlint: set sequence_length=2")
    )
    estimate = subject_of(text).estimate
    assert estimate is not None
    assert 5 * 4 + 4 * 5 + 5 == estimate.parameters


def test_an_attribute_that_replaces_itself_is_followed() -> None:
    """`self.model = self.model.to(device)` is the model that the constructor was given."""
    text = (
        HEAD
        + "class Runner:\n    def __init__(self, model):\n        self.model = model\n"
        + '        self.model = self.model.to("cuda")\n    def fit(self):\n'
        + "        optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)\n"
        + "        for x, y in torch.utils.data.DataLoader(data, batch_size=4):\n"
        + "            loss = nn.functional.cross_entropy(self.model(x), y)\n            loss.backward()\n"
        + "            optimizer.step()\n            optimizer.zero_grad()\n"
        + "Runner(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))).fit()\n"
    )
    estimate = subject_of(text).estimate
    assert estimate is not None
    assert 8 * 4 + 4 + 4 * 2 + 2 == estimate.parameters


def test_what_accelerate_prepares_is_what_it_was_given() -> None:
    """The names that `prepare` binds stand for the same objects; `accelerator.backward` is the backward."""
    text = (
        HEAD
        + "from accelerate import Accelerator\naccelerator = Accelerator()\n"
        + "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        + "        self.fc = nn.Linear(100, 10)\n    def forward(self, x):\n        return self.fc(x)\n"
        + "model = Net()\noptimizer = torch.optim.AdamW(model.parameters())\n"
        + "loader = torch.utils.data.DataLoader(data, batch_size=32)\n"
        + "model, optimizer, loader = accelerator.prepare(model, optimizer, loader)\n"
        + "for x, y in loader:\n    loss = nn.functional.cross_entropy(model(x), y)\n"
        + "    accelerator.backward(loss)\n    optimizer.step()\n    optimizer.zero_grad()\n"
    )
    estimate = subject_of(text).estimate
    assert estimate is not None
    assert 1010 == estimate.parameters


def test_a_trainer_of_ones_own_class_is_not_guessed() -> None:
    """Its `compute_loss` may do anything."""
    text = (
        HEAD
        + "from transformers import Trainer, TrainingArguments\n"
        + "class Own(Trainer):\n    def compute_loss(self, model, inputs):\n        return model(**inputs)\n"
        + "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        + "        self.fc = nn.Linear(100, 10)\n    def forward(self, x):\n        return {'loss': self.fc(x).sum()}\n"
        + "args = TrainingArguments('out', per_device_train_batch_size=4)\n"
        + "Own(model=Net(), args=args, train_dataset=data).train()\n"
    )
    assert subject_of(text).estimate is None


def test_a_body_that_is_loaded_in_a_way_of_its_own_is_not_guessed() -> None:
    """Quantized weights are no fp32 weights."""
    text = (
        HEAD
        + "from transformers import AutoModel\nclass Net(nn.Module):\n    def __init__(self):\n"
        + "        super().__init__()\n"
        + "        self.body = AutoModel.from_pretrained('bert-base-uncased', load_in_8bit=True)\n"
        + "        self.fc = nn.Linear(768, 2)\n    def forward(self, x):\n"
        + "        return self.fc(self.body(x).last_hidden_state[:, 0])\n"
        + LOOP.replace("batch_size=8)", "batch_size=8)  # vramlint: set sequence_length=32")
    )
    subject = subject_of(text)
    assert subject.estimate is None
    assert "load_in_8bit" in (subject.why_not or "")


SMALL = (
    "image_size = 32\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    "        self.conv = nn.Conv2d(3, 4, 3)\n"
)


def test_a_check_that_raises_or_reports_changes_nothing() -> None:
    """A step that trains does not raise, and what is printed is in no memory."""
    checked = (
        SMALL
        + "    def forward(self, x):\n        if torch.isnan(x).any():\n            raise ValueError('x')\n"
        + "        if x.max() > 1:\n            print('large')\n        return self.conv(x).mean((2, 3))\n"
    )
    plain = SMALL + "    def forward(self, x):\n        return self.conv(x).mean((2, 3))\n"
    figures = [subject_of(HEAD + net + LOOP).estimate for net in (checked, plain)]
    assert figures[0] is not None
    assert figures[1] is not None
    assert figures[0].phases["backward"].end == figures[1].phases["backward"].end


def test_a_part_of_the_loss_that_is_not_followed_widens_the_range() -> None:
    """What it holds for backward is not counted, and the figure says so."""
    net = SMALL + "    def forward(self, x):\n        return self.conv(x).mean((2, 3))\n"
    step = "    optimizer.zero_grad"
    extra = "    extra = images.cuda().unheard_of(3)\n    loss = loss + extra.mean()\n"
    estimate = subject_of(HEAD + net + LOOP.replace(step, extra + step)).estimate
    assert estimate is not None
    assert any("not followed" in note for note in estimate.assumptions)
    assert estimate.allocated.high > 1.1 * estimate.allocated.expected


def test_hyperparameters_that_lightning_saves_are_those_of_the_constructor() -> None:
    """`self.hparams` holds the arguments, defaults included."""
    text = (
        "import torch\nimport torch.nn as nn\nimport pytorch_lightning as pl\nclass Lit(pl.LightningModule):\n"
        "    def __init__(self, width=100, classes=10):\n        super().__init__()\n"
        "        self.save_hyperparameters()\n"
        "        self.fc = nn.Linear(self.hparams.width, self.hparams['classes'])\n"
        "    def training_step(self, batch, index):\n        x, y = batch\n"
        "        return {'loss': nn.functional.cross_entropy(self.fc(x), y)}\n"
        "    def configure_optimizers(self):\n        return torch.optim.AdamW(self.parameters(), lr=0.1)\n"
        "pl.Trainer(max_epochs=1).fit(Lit(width=300), torch.utils.data.DataLoader(data, batch_size=8))\n"
    )
    estimate = subject_of(text).estimate
    assert estimate is not None
    assert 3010 == estimate.parameters


def test_a_changed_configuration_that_is_handed_on_keeps_its_changes() -> None:
    """A function sees under its own name what the script has made of the object."""
    text = (
        HEAD
        + "class Config:\n    width = 16\nclass Net(nn.Sequential):\n    def __init__(self, config):\n"
        + "        super().__init__(nn.Flatten(), nn.Linear(config.width, 10))\ndef main(settings):\n"
        + "    model = Net(settings)\n    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        + "    for x, y in torch.utils.data.DataLoader(data, batch_size=4):\n"
        + "        loss = nn.functional.cross_entropy(model(x), y)\n        optimizer.zero_grad()\n"
        + "        loss.backward()\n        optimizer.step()\n"
        + "config = Config()\nconfig.width = 1000\nmain(config)\n"
    )
    estimate = subject_of(text).estimate
    assert estimate is not None
    assert 10_010 == estimate.parameters


def test_a_model_that_is_wrapped_where_there_are_more_gpus_is_the_same_model() -> None:
    """Either branch leaves the same weights to train."""
    text = (
        HEAD
        + "image_size = 32\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        + "        self.conv = nn.Conv2d(3, 4, 3)\n    def forward(self, x):\n"
        + "        return self.conv(x).mean((2, 3))\n"
        + LOOP.replace(
            "optimizer = ",
            "if torch.cuda.device_count() > 1:\n    model = nn.DataParallel(model)\noptimizer = ",
            1,
        )
    )
    estimate = subject_of(text).estimate
    assert estimate is not None
    assert 112 == estimate.parameters


def test_a_model_without_weights_is_said_to_have_none() -> None:
    """Its parts may be made elsewhere, as with RPC; there is no pattern to blame."""
    text = (
        HEAD
        + "image_size = 32\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        + "        self.act = nn.ReLU()\n    def forward(self, x):\n        return self.act(x)\n"
        + LOOP
    )
    assert "no parameter that trains" in (subject_of(text).why_not or "")
