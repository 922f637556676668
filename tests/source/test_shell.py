"""Shell text becomes commands: words with their lines, variables filled in, and nothing run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramlint.source.shell import commands


def words(text: str) -> list[str]:
    """Return the words of the last command."""
    return [word.text for word in commands(text)[-1].words]


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (["a", "b c", "d e"], "a 'b c' \"d e\""),
        (["a", "b"], "a \\\n  b  # a comment"),
        (["run", "1", "2"], 'X="1 2"\nrun $X'),
        (["run", "1 2"], 'X="1 2"\nrun "$X"'),
        (["run", "-a", "1", "-b"], 'ARGS=(-a 1)\nARGS+=(-b)\nrun "${ARGS[@]}"'),
        (["run", "-a", "-b"], 'A="-a"\nA+=" -b"\nrun $A'),
        (["run", "7"], "run ${MISSING:-7}"),
        (["run", "64"], "N=8\nrun $((N * 8))"),
        (["run", "$1"], "run $1"),
        (["run", "$(date)"], "run $(date)"),
        (["run", "x"], "if true; then run x; fi"),
        (["run", "x"], "for i in a b; do run x; done"),
        (["run", "x"], "run x > log.txt 2>&1"),
        (["run", "-b", "1"], "read -r -d '' ARGS <<EOF\n-b 1\nEOF\nrun $ARGS"),
        (["run", "a.b"], "DIR=a\nrun ${DIR}.b"),
    ],
)
def test_words(expected: list[str], text: str) -> None:
    """Quotes, continuations, variables, arrays, defaults and arithmetic give the words a shell would."""
    assert expected == words(text)


def test_words_know_their_lines() -> None:
    """A word out of an array or a heredoc stands on its own line."""
    found = commands("ARGS=(\n  -a 1\n  -b 2\n)\nrun ${ARGS[@]}")[-1]
    assert [("run", 5), ("-a", 2), ("1", 2), ("-b", 3), ("2", 3)] == [(w.text, w.line) for w in found.words]


def test_what_only_a_run_tells_is_not_known() -> None:
    """A substitution, an argument of the script and a loop over one leave words that are not known."""
    found = commands("for i in $(seq 2); do\nrun $i $1 $(nproc) 3\ndone")[0]
    assert [True, False, False, False, True] == [word.known for word in found.words]


def test_the_environment_of_a_command() -> None:
    """Exported variables and those before the command reach it; plain ones do not."""
    found = commands("export A=1\nB=2\nC=3 run")[-1]
    assert {"A": "1", "C": "3"} == {name: word.text for name, word in found.environment.items()}


def test_a_file_out_of_a_heredoc() -> None:
    """`cat > file <<EOF` writes a file, whose text does not run."""
    (found,) = commands("cat > ds.json <<'EOF'\n{\"a\": $x}\npython train.py\nEOF\n")
    assert ("ds.json", '{"a": $x}\npython train.py\n') == (found.output, found.heredoc and found.heredoc.text)


def test_cd_moves_what_follows() -> None:
    """The directory of a command is where `cd` led."""
    assert "examples/b" == commands("cd examples && cd b\npython train.py")[-1].directory


@given(st.text(alphabet="ab=$(){}[]'\"\\`<>|&;# \n-EOF1", max_size=60))
def test_any_text_is_read(text: str) -> None:
    """No text makes the reader raise or hang, and lines stay inside the text."""
    for command in commands(text):
        assert all(1 <= word.line <= text.count("\n") + 1 for word in command.words)


def test_a_short_loop_is_read_for_each_word() -> None:
    """Nested loops too; a long one once, with its variable open."""
    text = "for a in x y; do\nfor b in 1 2; do run $a $b; done\ndone\nrun after"
    found = [" ".join(word.text for word in command.words) for command in commands(text)]
    assert ["run x 1", "run x 2", "run y 1", "run y 2", "run after"] == found
    long = commands("for i in 1 2 3 4 5 6 7; do run $i; done")
    assert [False] == [command.words[1].known for command in long]
