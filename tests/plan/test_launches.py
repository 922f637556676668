"""Where launch lines are looked for: in the script's project, and never far and wide."""

from __future__ import annotations

from vramlint.plan.launches import MOST_DIRECTORIES, near
from vramlint.source.neighbours import InMemory
from vramlint.source.parse import parse
from vramlint.source.read import document

SCRIPT = "import torch\n"


class Tree:
    """Neighbours in memory that note which directories were listed."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = InMemory(files)
        self.listed: list[str] = []
        self.read = self.files.read

    def listing(self, directory: str) -> tuple[str, ...]:
        """Return the names in a directory."""
        self.listed.append(directory)
        return self.files.listing(directory)


def _batches(tree: Tree, path: str) -> list[str]:
    program = parse(document(path, SCRIPT)[0])
    return [str(flag) for launch in near(program, tree, path) for flag in launch.flags.values()]


def test_the_project_is_searched() -> None:
    """A script below the root of its project finds the launch in the project's scripts."""
    tree = Tree(
        {
            "/w/p/LICENSE": "",
            "/w/p/src/train.py": SCRIPT,
            "/w/p/scripts/run.sh": "python src/train.py --batch-size 4\n",
            "/w/other/scripts/run.sh": "python train.py --batch-size 5\n",
        }
    )
    assert ["4"] == _batches(tree, "/w/p/src/train.py")


def test_a_script_in_no_project_looks_beside_itself_only() -> None:
    """What lies above belongs to others."""
    tree = Tree(
        {
            "/home/me/one/train.py": SCRIPT,
            "/home/me/one/run.sh": "python train.py --batch-size 4\n",
            "/home/me/scripts/run.sh": "python one/train.py --batch-size 5\n",
        }
    )
    assert ["4"] == _batches(tree, "/home/me/one/train.py")
    assert "/home/me/scripts" not in tree.listed


def test_the_search_ends() -> None:
    """However many directories there are, only so many are listed."""
    many = {f"/p/scripts/a{number}/b{other}/x": "" for number in range(40) for other in range(40)}
    tree = Tree({"/p/LICENSE": "", "/p/train.py": SCRIPT, **many})
    assert [] == _batches(tree, "/p/train.py")
    assert len(tree.listed) <= MOST_DIRECTORIES + 10
