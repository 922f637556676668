"""Walking finds scripts and notebooks in a fixed order, and leaves out what no one wrote or wants."""

from __future__ import annotations

from pathlib import Path

import pytest

from vramlint.source.walk import walk

FILES = (
    "b.py", "a.ipynb", "run.sh", "data.csv", "sub/c.py", "sub/deep/d.py",
    ".git/hooks/x.py", ".virtual_documents/a.ipynb", ".ipynb_checkpoints/a.ipynb", "node_modules/x.py",
    "env/pyvenv.cfg", "env/lib/x.py", "lib/site-packages/x.py", "build/x.py", "__pycache__/x.py",
    "sub/ignored.py", "sub/kept.py", "out/x.py", "sub/out/x.py",
)  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with everything that must be left out, as the working directory."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    (tmp_path / ".gitignore").write_text("/out\n# note\n*kept.py\n")
    (tmp_path / "sub" / ".gitignore").write_text("ignored.py\n!kept.py\n")
    (tmp_path / "folder.py").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("tree")
def test_a_directory() -> None:
    """Only scripts and notebooks that are the project's own, in the order of names."""
    expected = ["a.ipynb", "b.py", "sub/c.py", "sub/deep/d.py", "sub/kept.py", "sub/out/x.py"]
    assert expected == list(walk(["."]))


@pytest.mark.usefixtures("tree")
def test_ignore_files_above_count() -> None:
    """A directory inside a checkout is ruled by the ignore files above it, up to the one with `.git`."""
    Path(".gitignore").write_text("deep/\n")
    assert ["sub/c.py", "sub/kept.py", "sub/out/x.py"] == list(walk(["sub"]))


@pytest.mark.usefixtures("tree")
def test_what_is_named_is_wanted() -> None:
    """Files of any kind come as they are named, and so does an ignored directory."""
    named = ["run.sh", "sub/ignored.py", "out", "missing.py", "./b.py"]
    assert ["run.sh", "sub/ignored.py", "out/x.py", "missing.py", "./b.py"] == list(walk(named))


@pytest.mark.usefixtures("tree")
def test_no_file_comes_twice() -> None:
    """Overlapping paths and links to files give each file once."""
    Path("sub/link.py").symlink_to("c.py")
    assert ["sub/c.py", "sub/kept.py", "sub/out/x.py", "sub/deep/d.py"] == [
        *walk(["sub/c.py", "sub/kept.py", "sub/out", "sub", "sub/deep"])
    ]


@pytest.mark.usefixtures("tree")
def test_loops_of_links_end() -> None:
    """Links to directories, to nothing and to themselves are no way to go."""
    Path("sub/deep/up").symlink_to("..", target_is_directory=True)
    Path("sub/self.py").symlink_to("self.py")
    Path("sub/gone.py").symlink_to("nowhere.py")
    assert ["sub/c.py", "sub/deep/d.py", "sub/kept.py", "sub/out/x.py"] == list(walk(["sub"]))
