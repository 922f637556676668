"""Options come from several places; the nearest to the person wins, and a slip gets one clear line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vramlint.settings import (
    ConfigurationError,
    Layer,
    Options,
    Settings,
    combine,
    parse_options,
    parse_size,
    project_layer,
    user_layers,
)

if TYPE_CHECKING:
    from pathlib import Path


def layer(source: str, **options: object) -> Layer:
    """Return a layer of options."""
    return Layer(source, parse_options(options, source))


def test_the_first_layer_that_says_something_wins() -> None:
    """The command line is above the person, the person above the project."""
    layers = (layer("command line"), layer("VRAMLINT_GPU", gpu="4090"), layer("pyproject.toml", gpu="T4"))
    settings = combine(layers)
    assert settings.gpu is not None
    assert "RTX 4090" in settings.gpu.name
    assert "VRAMLINT_GPU" == settings.sources["gpu"]


def test_tables_are_joined_key_by_key() -> None:
    """One override on the command line does not wipe out those of the project."""
    layers = (
        layer("command line", set={"loss": "liger"}),
        layer("p", set={"loss": "default", "compile": True}),
    )
    assert {"loss": "liger", "compile": True} == combine(layers).overrides


def test_an_override_knows_its_source() -> None:
    """A figure that a project's file decides must not be blamed on the command line."""
    layers = (layer("command line", set={"a": 1}), layer("pyproject.toml", set={"a": 2, "b": 3}))
    sources = combine(layers).sources
    assert ("command line", "pyproject.toml") == (sources["set.a"], sources["set.b"])


def test_a_launch_command_holds_for_its_files() -> None:
    """Patterns are tried in their order; one without a match leaves the launch unknown."""
    launch = {"train/*.py": "torchrun --nproc-per-node 8 train.py", "sft.py": "python sft.py --bf16"}
    layers = (layer("pyproject.toml", launch=launch),)
    assert "python sft.py --bf16" == combine(layers, "recipes/sft.py").launch
    assert launch["train/*.py"] == combine(layers, "train/dpo.py").launch
    assert None is combine(layers, "other.py").launch


def test_defaults() -> None:
    """Where nobody says anything: no GPU, nothing kept free, errors fail."""
    assert Settings() == combine(())


@pytest.mark.parametrize(
    ("text", "expected"),
    [(512, 512), ("512", 512), ("1.5GB", 1_500_000_000), ("2 GiB", 2 * 2**30), ("300mb", 300_000_000)],
)
def test_sizes(text: int | str, expected: int) -> None:
    """GB is a power of ten, GiB one of two."""
    assert expected == parse_size(text, "here")


def test_a_size_that_is_none() -> None:
    """The line names the source and shows what is valid."""
    with pytest.raises(ConfigurationError, match="command line: reserve: 'lots' is no size"):
        combine((layer("command line", reserve="lots"),))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpuu": "4090"}, "here: unknown option 'gpuu'; did you mean 'gpu'?"),
        ({"world_sise": 2}, "here: unknown option 'world_sise'; did you mean 'world-size'?"),
        ({"world-size": 0}, "here: world-size: Input should be greater than or equal to 1, got 0"),
        ({"fail-on": "always"}, "here: fail-on: Input should be 'error', 'warning' or 'never', got 'always'"),
    ],
)
def test_a_slip_gets_one_line(options: dict[str, object], message: str) -> None:
    """An unknown key names the nearest valid one; a wrong value says what is right."""
    with pytest.raises(ConfigurationError) as caught:
        parse_options(options, "here")
    assert message == str(caught.value)


def test_an_unknown_gpu_names_its_source() -> None:
    """Who wrote the wrong name is part of the line."""
    with pytest.raises(ConfigurationError, match=r"^pyproject\.toml: unknown GPU 'RTX 4099'"):
        combine((layer("pyproject.toml", gpu="RTX 4099"),))


def test_the_nearest_project_counts(tmp_path: Path) -> None:
    """A pyproject without our table is passed over; the one above it is read."""
    (tmp_path / "pyproject.toml").write_text('[tool.vramlint]\ngpu = "T4"\nmax-peak = "40GB"\n')
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\nname = 'a'\n")
    found = project_layer(inner)
    assert found is not None
    assert str(tmp_path / "pyproject.toml") == found.source
    assert ("T4", "40GB") == (found.options.gpu, found.options.max_peak)


def test_broken_toml_is_one_line(tmp_path: Path) -> None:
    """The file is named."""
    (tmp_path / "pyproject.toml").write_text("[tool.vramlint\n")
    with pytest.raises(ConfigurationError, match=r"pyproject\.toml: "):
        project_layer(tmp_path)


def test_a_project_that_is_no_table_is_one_line(tmp_path: Path) -> None:
    """A value where a table belongs is named."""
    (tmp_path / "pyproject.toml").write_text("[tool]\nvramlint = 5\n")
    with pytest.raises(ConfigurationError, match="should be a table, got 5"):
        project_layer(tmp_path)


def test_a_launch_line_that_no_shell_takes_is_one_line() -> None:
    """It would otherwise say nothing, in silence."""
    with pytest.raises(ConfigurationError, match="No closing quotation"):
        combine((layer("command line", launch={"*": "torchrun 'train.py"}),), "train.py")


def test_the_person_has_a_file_and_a_variable(tmp_path: Path) -> None:
    """The variable comes before the file."""
    (tmp_path / "vramlint").mkdir()
    (tmp_path / "vramlint" / "config.toml").write_text('gpu = "T4"\nreserve = "1GB"\n')
    layers = user_layers({"VRAMLINT_GPU": "4090", "XDG_CONFIG_HOME": str(tmp_path)})
    assert ["4090", "T4"] == [one.options.gpu for one in layers]
    settings = combine(layers)
    assert 10**9 == settings.reserve
    assert "VRAMLINT_GPU" == settings.sources["gpu"]


def test_every_option_explains_itself() -> None:
    """Editors show these descriptions."""
    assert [] == [name for name, field in Options.model_fields.items() if not field.description]
