"""Shell text as simple commands: words with their lines, variables, arrays and continuations expanded.

Nothing is run: a command substitution, an argument of the script or a variable that nobody sets leaves a
word that is not `known`. Of a branch the body is read once, in the order of the text; a short loop over
written words is read for each of them.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_WORDS = 20_000
LONGEST_VALUE = 20_000
MOST_TURNS = 4
_DEEPEST_LOOP = 2

_OPERATORS = re.compile(r"&&|\|\||;;|[;|&()\n]")
_REDIRECTION = re.compile(r"\d*(?:>>|>&|<&|>|<)")
_HEREDOC = re.compile(r"<<(?!<)-?[ \t]*(['\"]?)(\w+)\1")
_NAME = re.compile(r"[A-Za-z_]\w*")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(?:\[[^\]]*\])?(\+?=)")
_BRACED = re.compile(
    r"(?P<length>#)?(?P<name>\w+|[@*#?])(?P<array>\[[@*]\])?(?:(?P<op>:?[-=+?])(?P<word>.*))?", re.DOTALL
)
_ARITHMETIC = re.compile(r"[\d\s+\-*/%()]+")
_PASSED = re.compile(r"\$\{?(?:\d|OPTARG)\}?")
_KEYWORDS = {"if", "then", "else", "elif", "do", "while", "until", "!", "{", "time", "exec", "nohup", "eval"}
_ENDS = {"fi", "done", "esac", "}"}
_DECLARING = {"export", "declare", "local", "readonly", "typeset"}


@dataclass(frozen=True, slots=True)
class Word:
    """One word after expansion and the line where it is written; not `known` where only a run can tell it."""

    text: str
    line: int
    known: bool = True


@dataclass(frozen=True, slots=True)
class Command:
    """A simple command; `environment` are the variables exported to it, `directory` where `cd` led before.

    `heredoc` is the text it is given, `output` the file it writes.
    """

    words: tuple[Word, ...]
    environment: Mapping[str, Word]
    line: int
    directory: str = ""
    heredoc: Word | None = None
    output: str = ""


@dataclass(frozen=True, slots=True)
class _Segment:
    """A stretch of a word in one kind of quotes: plain, single or double; `array` holds its words."""

    quotes: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class _Token:
    """A raw word, or an operator with `operator` set; `array` are the raw words between its parentheses."""

    segments: tuple[_Segment, ...] = ()
    operator: str = ""
    line: int = 0
    array: tuple[_Token, ...] | None = None


def commands(text: str, first_line: int = 1) -> tuple[Command, ...]:
    """Return the commands of a shell text in their order; `first_line` is the line of its first one."""
    return tuple(_Reader().read(_Lexer(text, first_line).tokens()))


@dataclass(slots=True)
class _Lexer:
    """Cuts text into raw words and operators."""

    text: str
    line: int
    at: int = 0
    _resume: int = 0

    def tokens(self) -> list[_Token]:
        found: list[_Token] = []
        while self.at < len(self.text) and len(found) < MOST_WORDS:
            token = self.token()
            if token is not None:
                found.append(token)
        return found

    def token(self) -> _Token | None:  # noqa: PLR0911  one early return for each kind of token
        text, char = self.text, self.text[self.at]
        if text.startswith("\\\n", self.at):
            self.skip(2)
            return None
        if char in " \t\r":
            self.at += 1
            return None
        if char == "#":
            end = text.find("\n", self.at)
            self.at = len(text) if end < 0 else end
            return None
        if heredoc := _HEREDOC.match(text, self.at):
            return self.heredoc(heredoc)
        if redirection := _REDIRECTION.match(text, self.at):
            self.at = redirection.end()
            return _Token(operator=">", line=self.line)
        if operator := _OPERATORS.match(text, self.at):
            line = self.line
            self.skip(len(operator[0]))
            if operator[0] == "\n" and self._resume > self.at:
                self.skip(self._resume - self.at)
            return _Token(operator=operator[0], line=line)
        return self.word()

    def skip(self, count: int) -> None:
        self.line += self.text.count("\n", self.at, self.at + count)
        self.at += count

    def heredoc(self, start: re.Match[str]) -> _Token:
        """Take the text that follows the line, up to its end mark; reading goes on behind it."""
        below = self.text.find("\n", self.at)
        begin = max(self._resume, len(self.text) if below < 0 else below + 1)
        end = re.compile(rf"^[ \t]*{re.escape(start[2])}[ \t]*$", re.MULTILINE).search(self.text, begin)
        body = self.text[begin : len(self.text) if end is None else end.start()]
        line = self.line + self.text.count("\n", self.at, begin)
        self._resume = len(self.text) if end is None else end.end()
        self.at = start.end()
        return _Token((_Segment("single" if start[1] else "double", body, line),), "<<", line)

    def word(self) -> _Token:
        line = self.line
        segments: list[_Segment] = []
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in " \t\r\n;|&()<>":
                break
            segments.append(self.segment(char))
            last = segments[-1]
            opens = last.quotes == "plain" and len(segments) == 1 and self.text.startswith("(", self.at)
            if opens and _ASSIGNMENT.fullmatch(last.text):
                self.at += 1
                return _Token(tuple(segments), line=line, array=tuple(self.array()))
        return _Token(tuple(segments), line=line)

    def array(self) -> Iterator[_Token]:
        """Yield the words of an array up to its closing parenthesis."""
        while self.at < len(self.text):
            if self.text[self.at] == ")":
                self.at += 1
                return
            before = self.at
            token = self.token()
            if token is not None and not token.operator:
                yield token
            if self.at == before:
                self.at += 1

    def segment(self, char: str) -> _Segment:
        line = self.line
        if char == "'":
            return _Segment("single", self.quoted("'"), line)
        if char == '"':
            return _Segment("double", self.quoted('"'), line)
        if char == "$":
            return _Segment("plain", self.dollar(), line)
        if char == "`":
            return _Segment("plain", f"`{self.quoted('`')}`", line)
        if char == "\\":
            taken = self.text[self.at + 1 : self.at + 2]
            self.skip(2)
            return _Segment("single", "" if taken == "\n" else taken, line)
        end = self.at
        while end < len(self.text) and self.text[end] not in " \t\r\n;|&()<>'\"$`\\":
            end += 1
        taken = self.text[self.at : end]
        self.at = end
        return _Segment("plain", taken, line)

    def quoted(self, quote: str) -> str:
        at = self.at + 1
        while at < len(self.text) and self.text[at] != quote:
            at += 2 if self.text[at] == "\\" and quote != "'" else 1
        taken = self.text[self.at + 1 : at]
        self.skip(at + 1 - self.at)
        return taken

    def dollar(self) -> str:
        """Take a variable, a `${…}` or a `$(…)` whole."""
        after = self.text[self.at + 1 : self.at + 2]
        closing = {"{": "}", "(": ")"}.get(after)
        if closing is None:
            name = _NAME.match(self.text, self.at + 1)
            end = name.end() if name else min(self.at + 2, len(self.text))
            taken = self.text[self.at : end]
            self.skip(end - self.at)
            return taken
        depth, at = 0, self.at + 1
        while at < len(self.text):
            depth += (self.text[at] == after) - (self.text[at] == closing)
            at += 1
            if depth == 0:
                break
        taken = self.text[self.at : at]
        self.skip(at - self.at)
        return taken


class _Reader:
    """Goes through the tokens, keeps variables, and hands out commands."""

    def __init__(self) -> None:
        self.variables: dict[str, tuple[Word, ...]] = {}
        self.exported: set[str] = set()
        self.directory = ""
        self.depth = 0

    def read(self, tokens: list[_Token]) -> Iterator[Command]:
        line: list[_Token] = []
        at = 0
        ended = [*tokens, _Token(operator="\n")]
        while at < len(ended):
            token = ended[at]
            at += 1
            if not token.operator or token.operator in {">", "<<"}:
                line.append(token)
                continue
            turns = self.turns(line)
            if turns:
                end = _done(ended, at)
                self.depth += 1
                for turn in turns:
                    self.variables[_plain(line[1])] = (turn,)
                    yield from self.read(ended[at:end])
                self.depth -= 1
                at, line = end, []
                continue
            command = self.command(line)
            if command is not None:
                yield command
            line = []

    def turns(self, tokens: list[_Token]) -> tuple[Word, ...]:
        """Return the values of a short loop, each of which starts what stands in its body; none otherwise."""
        names = [_plain(token) for token in tokens[:3]]
        if len(names) < 3 or names[0] != "for" or names[2] != "in" or self.depth >= _DEEPEST_LOOP:  # noqa: PLR2004  `for x in`
            return ()
        words = tuple(word for token in tokens[3:] for word in self.expand(token.segments))
        return words if 1 < len(words) <= MOST_TURNS and all(word.known for word in words) else ()

    def command(self, tokens: list[_Token]) -> Command | None:
        tokens, heredoc, output = _redirected(tokens)
        while tokens and _plain(tokens[0]) in _KEYWORDS:
            tokens = tokens[1:]
        if tokens and _plain(tokens[0]) == "for":
            self.loop(tokens)
        if not tokens or _plain(tokens[0]) in {"for", *_ENDS}:
            return None
        declares = bool(tokens) and _plain(tokens[0]) in _DECLARING
        exports = declares and _plain(tokens[0]) == "export"
        tokens = tokens[1:] if declares else tokens
        own: dict[str, Word] = {}
        while tokens and (declares or _assigned(tokens[0]) is not None):
            name, words = self.assign(tokens[0])
            if name:
                own[name] = _joined(words, tokens[0].line)
                self.exported |= {name} if exports else set()
            tokens = tokens[1:]
        if not tokens:
            return None
        words = tuple(word for token in tokens for word in self.expand(token.segments))
        if words and words[0].text == "cd" and len(words) > 1:
            self.directory = posixpath.normpath(posixpath.join(self.directory, words[1].text))
            return None
        if not words:
            return None
        text = None if heredoc is None else self.expand(heredoc.segments, splits=False)[0]
        if words[0].text == "read" and text is not None:
            self.variables[words[-1].text] = (text,)
        exported = {
            name: _joined(self.variables[name], tokens[0].line)
            for name in self.exported
            if name in self.variables
        }
        file = "".join(word.text for word in self.expand(output.segments)) if output else ""
        return Command(words, {**exported, **own}, tokens[0].line, self.directory, text, file)

    def loop(self, tokens: list[_Token]) -> None:
        """A loop's variable is known where the loop has one turn."""
        names = [_plain(token) for token in tokens]
        if len(names) > 3 and names[2] == "in":  # noqa: PLR2004  `for x in …`
            words = tuple(word for token in tokens[3:] for word in self.expand(token.segments))
            first = words[:1] if len(words) == 1 else (Word(f"${names[1]}", tokens[0].line, known=False),)
            self.variables[names[1]] = first

    def assign(self, token: _Token) -> tuple[str, tuple[Word, ...]]:
        """Set a variable and return its name and words."""
        match = _assigned(token)
        if match is None:
            name = _plain(token)
            return (name, self.variables[name]) if name in self.variables else ("", ())
        name = match[1]
        if token.array is not None:
            words = tuple(word for part in token.array for word in self.expand(part.segments))
        else:
            first = replace(token.segments[0], text=token.segments[0].text[match.end() :])
            whole = self.expand(
                (_Segment("double", "", token.line), first, *token.segments[1:]), splits=False
            )
            words = whole
        if match[2] == "+=":
            before = self.variables.get(name, ())
            words = (
                (*before, *words)
                if token.array is not None
                else (_joined((*before, *words), token.line, ""),)
            )
        if (
            match[2] == "="
            and _is_passed(words)
            and all(word.known for word in self.variables.get(name, words))
        ):
            return name, self.variables[name]  # what an option replaces, where nobody gives it
        self.variables[name] = words
        return name, words

    def expand(self, segments: tuple[_Segment, ...], *, splits: bool = True) -> tuple[Word, ...]:
        """Return the words that a raw word becomes."""
        words: list[Word] = []
        open_word: Word | None = None
        for segment in segments:
            parts = self.parts(segment, splits=splits)
            for index, part in enumerate(parts):
                if index and open_word is not None:
                    words.append(open_word)
                    open_word = None
                open_word = part if open_word is None else _glued(open_word, part)
        if open_word is not None:
            words.append(open_word)
        return tuple(words)

    def parts(self, segment: _Segment, *, splits: bool) -> list[Word]:
        """Return a segment's words; the first is joined to what stands before it."""
        if segment.quotes == "single" or (segment.quotes == "plain" and segment.text[:1] not in {"$", "`"}):
            return [Word(segment.text, segment.line)]
        if segment.quotes == "plain":
            words = self.variable(segment.text, segment.line)
            if not splits:
                return [_joined(words, segment.line)]
            return [replace(word, text=text, line=line) for word in words for text, line in _split(word)]
        if segment.text.startswith("${") and "[@]" in segment.text and segment.text.endswith("}"):
            return list(self.variable(segment.text, segment.line)) or []
        return [self.double(segment)]

    def double(self, segment: _Segment) -> Word:
        """Return the text between double quotes with its variables filled in."""
        lexer = _Lexer(segment.text, segment.line)
        parts: list[str] = []
        known = True
        while lexer.at < len(lexer.text):
            char = lexer.text[lexer.at]
            if char == "$":
                word = _joined(self.variable(lexer.dollar(), lexer.line), lexer.line)
                known = known and word.known
                parts.append(word.text)
            elif char == "\\" and lexer.text[lexer.at + 1 : lexer.at + 2] in {'"', "\\", "$", "`", "\n"}:
                # A continued line goes on; its end is kept, so that words in it know their lines.
                taken = lexer.text[lexer.at + 1]
                parts.append("\n" if taken == "\n" else taken)
                lexer.skip(2)
            else:
                parts.append(char)
                lexer.skip(1)
        return Word("".join(parts)[:LONGEST_VALUE], segment.line, known)

    def variable(self, text: str, line: int) -> tuple[Word, ...]:  # noqa: PLR0911  one early return for each kind of expansion
        """Return the words of `$name`, `${name…}`, `${name[@]}`, `$((…))`; a word that is not known for others."""
        unknown = (Word(text, line, known=False),)
        if text.startswith("$(("):
            return self.arithmetic(text, line)
        if text.startswith(("$(", "`")):
            return unknown
        match = _BRACED.fullmatch(text[2:-1] if text.startswith("${") else text[1:])
        if match is None:
            return unknown
        value = self.variables.get(match["name"])
        if match["length"]:
            return unknown if value is None else (Word(str(len(value)), line),)
        if match["op"] in {":-", "-", ":=", "="} and not (value and any(word.text for word in value)):
            return self.expand((_Segment("double", _unquoted(match["word"] or ""), line),), splits=False)
        if match["op"] in {":+", "+"}:
            return unknown if value is None else (Word(match["word"] or "", line),)
        return unknown if value is None else value

    def arithmetic(self, text: str, line: int) -> tuple[Word, ...]:
        filled = re.sub(
            r"\$?\{?([A-Za-z_]\w*)\}?",
            lambda m: _joined(self.variables.get(m[1], (Word("?", 0),)), 0).text,
            text[3:-2],
        )
        result = _computed(filled) if _ARITHMETIC.fullmatch(filled) and len(filled) < 200 else None  # noqa: PLR2004  no formula is longer
        return (Word(text, line, known=False),) if result is None else (Word(str(result), line),)


def _is_passed(words: tuple[Word, ...]) -> bool:
    """Return whether a value is an argument of the shell script itself: `$1`, `${2}`, `$OPTARG`."""
    return len(words) == 1 and _PASSED.fullmatch(words[0].text) is not None and not words[0].known


def _unquoted(word: str) -> str:
    """Return the word of `${name:-"word"}` without the quotes around all of it."""
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word


def _computed(text: str) -> int | None:
    """Return what a formula of whole numbers comes to."""
    import ast  # noqa: PLC0415  few scripts compute

    def value(node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int() as number):
                return number
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return value(left) + value(right)
            case ast.BinOp(left=left, op=ast.Sub(), right=right):
                return value(left) - value(right)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return value(left) * value(right)
            case ast.BinOp(left=left, op=ast.Div() | ast.FloorDiv(), right=right):
                return value(left) // value(right)
            case ast.BinOp(left=left, op=ast.Mod(), right=right):
                return value(left) % value(right)
        raise ValueError

    try:
        return value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return None


def _done(tokens: list[_Token], at: int) -> int:
    """Return where the body of a loop ends: behind its own `done`."""
    depth, begins = 0, True
    for index in range(at, len(tokens)):
        word = _plain(tokens[index]) if begins else ""
        depth += word in {"for", "while", "until", "select"}
        if word == "done":
            if depth == 0:
                return index
            depth -= 1
        begins = bool(tokens[index].operator) or word in _KEYWORDS
    return len(tokens)


def _redirected(tokens: list[_Token]) -> tuple[list[_Token], _Token | None, _Token | None]:
    """Return a command's own words, the text it is given, and the name of the file it writes."""
    kept: list[_Token] = []
    heredoc: _Token | None = None
    output: _Token | None = None
    skip = False
    for token in tokens:
        if token.operator == "<<":
            heredoc = token
        elif token.operator == ">":
            skip = True
        elif skip:
            output, skip = token, False
        else:
            kept.append(token)
    return kept, heredoc, output


def _plain(token: _Token) -> str:
    return token.segments[0].text if len(token.segments) == 1 and token.segments[0].quotes == "plain" else ""


def _assigned(token: _Token) -> re.Match[str] | None:
    if not token.segments or token.segments[0].quotes != "plain":
        return None
    return _ASSIGNMENT.match(token.segments[0].text)


def _split(word: Word) -> Iterator[tuple[str, int]]:
    """Split a variable's text at blanks; every part keeps the line on which it stands."""
    if not word.known:
        yield word.text, word.line
        return
    for match in re.finditer(r"\S+", word.text):
        yield match[0], word.line + word.text.count("\n", 0, match.start())


def _joined(words: tuple[Word, ...], line: int, between: str = " ") -> Word:
    if len(words) == 1:
        return words[0]
    return Word(
        between.join(word.text for word in words),
        words[0].line if words else line,
        all(word.known for word in words),
    )


def _glued(left: Word, right: Word) -> Word:
    return Word(left.text + right.text, left.line, left.known and right.known)
