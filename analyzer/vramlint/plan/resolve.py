"""From a parsed program to its runs: what each frontend says of a setting, joined by precedence."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from vramlint.facts.configs import find
from vramlint.facts.launch import Launch
from vramlint.facts.script import Script
from vramlint.facts.setting import (
    Known,
    OneOf,
    Origin,
    OriginKind,
    Setting,
    Unknown,
    alternatives,
    origins_of,
)
from vramlint.frontends import accelerate
from vramlint.frontends.base import Context, Training, frontends
from vramlint.frontends.construction import construction_of
from vramlint.plan import commands, launches
from vramlint.plan.absent import fill, shorthands
from vramlint.plan.launch import read_launch, with_files
from vramlint.plan.launched import distinct, launched_program
from vramlint.plan.library_defaults import argument_defaults, library_default, versions
from vramlint.plan.names import REPORTED
from vramlint.plan.overridden import with_remarks
from vramlint.plan.override import override
from vramlint.plan.plain import checked
from vramlint.plan.read import PlanError
from vramlint.plan.run import Run
from vramlint.source.config_file import read_config
from vramlint.source.imports import Repository
from vramlint.source.issue import at_top
from vramlint.source.neighbours import with_written

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vramlint.frontends.base import Remark
    from vramlint.frontends.recipe import Recipe
    from vramlint.settings import Settings
    from vramlint.source.neighbours import Neighbours
    from vramlint.source.parse import Program
    from vramlint.source.pragmas import Override
    from vramlint.source.spans import Span

# The surest first; frameworks fill in what nobody said, assumptions what no framework fills in.
_PRECEDENCE: tuple[OriginKind, ...] = (
    "pragma",
    "launch",
    "override",
    "source",
    "config",
    "argument-default",
    "catalogue",
    "framework-default",
    "assumed",
)
# Frameworks that take part in a run that another one starts.
_BESIDE_THE_LOOP = {"peft", "bitsandbytes", "accelerate", "unsloth", "diffusers"}
_WEAK = {"framework-default", "assumed", "catalogue"}


def runs(program: Program, neighbours: Neighbours, settings: Settings) -> tuple[Run, ...]:
    """Return the runs that a document starts, in the order of its text; none without a sign of training.

    A script has one run for each training and launch line near it, by its own defaults where there is none.
    """
    document = program.document
    base = posixpath.dirname(PurePath(document.path).as_posix())
    near = with_written(neighbours, program.written, base)
    if document.kind in {"shell", "markdown"}:
        return _launched(launches.of_document(document), program, base, near, settings)
    if not any(cell.tree is not None for cell in program.cells):
        return _recipes(program, near, settings)
    known = versions(program, near, settings.libraries)
    repository = Repository(document.path, near)
    if settings.launch:
        return _started(program, repository, settings, read_launch(settings.launch), known)
    if document.kind == "notebook":
        found = _started(program, repository, settings, Launch(), known)
        return (*found, *_launched(launches.of_program(program), program, base, near, settings))
    return _of_script(program, repository, settings, known)


def _of_script(
    program: Program, repository: Repository, settings: Settings, known: Mapping[str, Known[str]]
) -> tuple[Run, ...]:
    """Return the runs of a script: one for each launch line that says something, else by its own defaults."""

    def started(launch: Launch) -> tuple[Run, ...]:
        return _started(program, repository, settings, launch, known)

    # Looking for launch lines is worth it only where something is trained.
    plain = () if _trains_by_flags(program) else started(Launch())
    if not plain and not _trains_by_flags(program):
        return ()
    lines = launches.near(program, repository.neighbours, program.document.path)
    own = plain or started(Launch())
    told: list[Run] = []
    for launch in lines:
        found = started(launch) if launch.says else ()
        if launch.says and not (own or found):
            return ()  # what trains neither by itself nor with the first flags found is not read with all others
        told += found
    told = [*with_remarks(told, own, program.document.path)]
    # What the script does by itself comes last where launch lines say how it is run.
    return distinct((*told, *own) if all(launch.says for launch in lines) else (*own, *told))


def _trains_by_flags(program: Program) -> bool:
    """Return whether a script trains, or would with other flags, as far as its words tell."""
    text = "".join(cell.cell.text for cell in program.cells)
    return ("backward(" in text or ".train(" in text or ".fit(" in text) and (
        "argparse" in text or "ArgumentParser" in text or "hydra" in text
    )


def _launched(
    lines: Iterable[Launch], program: Program, base: str, neighbours: Neighbours, settings: Settings
) -> tuple[Run, ...]:
    """Return the runs of what a shell script or a notebook starts; they begin at its lines."""
    found: list[Run] = []
    repositories: dict[str, Repository] = {}
    count = 0
    for launch in islice(lines, launches.MOST_LINES):
        script = launched_program(launch, program, base, neighbours)
        # A tool, or a script that is not here, may be described by its command alone.
        starter = script or replace(program, cells=())
        known = versions(script or program, neighbours, settings.libraries)
        path = starter.document.path
        repository = repositories.setdefault(path, Repository(path, neighbours))
        started = _started(starter, repository, settings, launch, known)
        found += [replace(run, span=launch.span or run.span) for run in started]
        count += bool(started)
        if count == launches.MOST_LAUNCHES:
            break
    return distinct(found)


def _started(
    program: Program,
    repository: Repository,
    settings: Settings,
    launch: Launch,
    known: Mapping[str, Known[str]],
) -> tuple[Run, ...]:
    """Return the runs of a script that one command starts, with the versions of its libraries."""
    context = _context(program, repository, settings, launch, known)
    commanded = commands.recipes(context, program.document.path)
    if commanded:
        return tuple(_recipe_run(context, one, program, settings) for one in commanded)
    found = [training for frontend in frontends() for training in frontend.trainings(context)]
    # A script that trains may also generate, to show what it learned.
    found = [training for training in found if training.kind == "train"] or found
    found.sort(key=lambda training: training.call.place.order)
    return _laid_over([_run(context, training, program) for training in found], program, settings)


def _context(
    program: Program,
    repository: Repository,
    settings: Settings,
    launch: Launch,
    known: Mapping[str, Known[str]],
) -> Context:
    """Return a script as one command starts it, with the versions of its libraries."""
    trees = [(index, cell.tree) for index, cell in enumerate(program.cells) if cell.tree is not None]
    defaults = library_default(known)
    launch = with_files(launch, program, lambda path: find(repository, path))
    size = _world_size(settings, launch)
    script = Script(
        trees,
        lambda node, cell: program.span(node, cell or 0),  # type: ignore[arg-type]
        launch.flags,
        argument_defaults(defaults),
        repository,
        {**({"WORLD_SIZE": str(size.value)} if size is not None else {}), **launch.environment},
        launch.positional,
    )
    return Context(script, known, defaults, size, launch)


def _world_size(settings: Settings, launch: Launch) -> Known[int] | None:
    if settings.world_size is not None:
        return Known(
            settings.world_size, Origin("override", settings.sources.get("world_size", "--world-size"))
        )
    if launch.processes is not None:
        return Known(launch.processes, Origin("launch", f"{launch.processes} processes", launch.span))
    return None


def _run(context: Context, training: Training, program: Program) -> Run:
    said: dict[str, list[Setting[Any]]] = {key: [value] for key, value in training.settings.items()}
    frameworks = [training.framework]
    for frontend in frontends():
        read = frontend.settings(context, training)
        for key, value in read.items():
            said.setdefault(key, []).append(value)
        if read and frontend.name in _BESIDE_THE_LOOP:
            frameworks.append(frontend.name)
    if "diffusers" in frameworks:
        said |= {key: _told(values) for key, values in said.items() if key == "sequence_length"}
    # What a run is for, the framework that starts it knows best.
    joined = {key: values[0] if key == "task" else join(values) for key, values in said.items()}
    joined = {key: value if _is_auto(value) else checked(key, value) for key, value in joined.items()}
    span = context.script.start(training.call)
    run = _completed(context, training, joined, span, tuple(frameworks))
    remarks, made = _remarks(context, training, program), construction_of(context, training)
    return replace(run, remarks=remarks, construction=made)


def _told(values: list[Setting[Any]]) -> list[Setting[Any]]:
    """Return what is known of the values; a pipeline's tokenizer says what its script reads from it at run time."""
    return [value for value in values if not isinstance(value, Unknown) or value.bounds] or values


def _remarks(context: Context, training: Training, program: Program) -> tuple[Remark, ...]:
    """Return what the frontends saw in this file; what another file does, its own check says."""
    seen = (remark for frontend in frontends() for remark in frontend.remarks(context, training))
    return tuple(remark for remark in seen if remark.span.path == program.document.path)


def _recipes(program: Program, neighbours: Neighbours, settings: Settings) -> tuple[Run, ...]:
    """Return the run that a configuration file describes, none where it is no recipe."""
    document = program.document
    if document.kind not in {"yaml", "json", "toml"} or not document.cells:
        return ()
    file = read_config(document.path, document.cells[0].text, document.kind)
    if file is None or not file.entries:
        return ()
    known = versions(program, neighbours, settings.libraries)
    script = replace(program, cells=())
    given = read_launch(settings.launch)
    repository = Repository(document.path, neighbours)
    blank = _context(script, repository, settings, given, known)
    if not commands.described(blank, file):
        return ()
    # A README tells how a recipe is started, and with which file of accelerate's.
    lines = () if settings.launch else launches.naming(neighbours, document.path)
    contexts = [_context(script, repository, settings, line, known) for line in lines] or [blank]
    started = [(one, context) for context in contexts for one in commands.described(context, file)]
    return distinct(_recipe_run(context, one, program, settings) for one, context in started)


def _recipe_run(context: Context, recipe: Recipe, program: Program, settings: Settings) -> Run:
    whole = {**accelerate.layout(context), **recipe.settings}
    said = {key: value if _is_auto(value) else checked(key, value) for key, value in whole.items()}
    span = recipe.span or context.launch.span or at_top(program.document.path)
    return _laid_over([_completed(context, recipe, said, span, recipe.names)], program, settings)[0]


def _completed(
    context: Context,
    training: Training | Recipe,
    said: Mapping[str, Setting[Any]],
    span: Span,
    frameworks: tuple[str, ...],
) -> Run:
    filled = {key: checked(key, value) for key, value in fill(context, training, said).items()}
    launch = context.launch if context.launch.command else None
    return Run(training.kind, frameworks, span, _ordered(filled), launch)


def _laid_over(runs: list[Run], program: Program, settings: Settings) -> tuple[Run, ...]:
    """Lay options and comments over the runs of a script; a comment beside one run's line is not for the others."""
    from vramlint.source.pragmas import pragmas  # noqa: PLC0415  few files have any

    said = [
        (pragma, [_has_line(run, pragma) for run in runs]) for pragma in pragmas(program.document).overrides
    ]
    found = []
    for index, run in enumerate(runs):
        whole = [pragma for pragma, owners in said if not any(owners)]
        own = [pragma for pragma, owners in said if owners[index]]
        found.append(replace(run, settings=_ordered(_overridden(run.settings, settings, [*whole, *own]))))
    return tuple(found)


def _has_line(run: Run, pragma: Override) -> bool:
    """Return whether a run starts on a comment's line, or read a setting there that other runs may lack."""
    if pragma.line is None:
        return False
    origins = (origin for setting in run.settings.values() for origin in origins_of(setting))
    spans = (run.span, *(origin.span for origin in origins if origin is not None and origin.span is not None))
    place = (pragma.span.path, pragma.span.cell, pragma.line)
    return any((span.path, span.cell, span.start.line) == place for span in spans)


def _is_auto(setting: Setting[Any]) -> bool:
    """Return whether a dtype is "auto" in some branch: the catalogue resolves that later."""
    return any(value == "auto" for value in alternatives(setting) if isinstance(value, str))


def join(values: list[Setting[Any]]) -> Setting[Any]:
    """Return the surest of several statements; two of the same standing that differ become alternatives."""
    ranked = sorted(values, key=lambda one: (_rank(one), isinstance(one, Unknown)))
    best = ranked[0]
    if not isinstance(best, Known) or _kind(best) in _WEAK:
        return best
    rivals = [one for one in ranked if isinstance(one, Known) and _kind(one) == _kind(best)]
    different = [one for one in rivals if one.value != best.value]
    if not different:
        return best
    places = " and ".join(one.origin.detail for one in (best, *different[:2]))
    return OneOf((best, *different[:7]), f"{places} disagree")


def _rank(setting: Setting[Any]) -> int:
    """Return how sure a statement is; an honest unknown of the script stands above any default."""
    kind = _kind(setting)
    if kind is None:
        return _PRECEDENCE.index("catalogue")
    rank = _PRECEDENCE.index(kind) if kind in _PRECEDENCE else 0
    return max(rank, _PRECEDENCE.index("argument-default")) if isinstance(setting, Unknown) else rank


def _kind(setting: Setting[Any]) -> OriginKind | None:
    if isinstance(setting, Known):
        return setting.origin.kind
    if isinstance(setting, OneOf):
        return setting.alternatives[0].origin.kind
    return setting.origin.kind if setting.origin else None


def _overridden(
    found: Mapping[str, Setting[Any]], settings: Settings, said: Iterable[Override]
) -> dict[str, Setting[Any]]:
    """Lay options and comments over what was read; comments win. What was measured takes the place of guesses."""
    changed = dict(found)
    for key, value in settings.measured.items():
        if key not in found or _is_guess(found[key]):
            origin = Origin("measured", settings.sources.get(f"measured.{key}", "measured"))
            changed = override(changed, key, value, origin)
    for key, value in settings.overrides.items():
        changed = override(changed, key, value, Origin("override", _where_set(key, settings)))
    for pragma in said:
        origin = Origin("pragma", f"set {pragma.key}", pragma.span)
        name = pragma.key.partition(".")[0]
        try:
            changed = override(changed, pragma.key, pragma.value, origin)
        except PlanError as error:
            # A comment is the user's code: what is wrong with it is said, not raised.
            if name in changed:
                changed[name] = Unknown(f"the comment cannot be used: {error}", origin)
    return changed | _renewed(found, changed)


def _is_guess(setting: Setting[Any]) -> bool:
    return not isinstance(setting, Known) or setting.origin.kind in _WEAK


def _where_set(key: str, settings: Settings) -> str:
    source = settings.sources.get(f"set.{key}", "")
    return f"set {key} in {source}" if source.endswith(".toml") else f"--set {key}"


def _renewed(
    found: Mapping[str, Setting[Any]], changed: Mapping[str, Setting[Any]]
) -> dict[str, Setting[Any]]:
    """Return what the shorthands stand for now, but those that were given themselves."""
    return {name: value for name, value in shorthands(changed).items() if changed[name] is found[name]}


def _ordered(found: Mapping[str, Setting[Any]]) -> dict[str, Setting[Any]]:
    names = [*REPORTED, *(name for name in found if name not in REPORTED)]
    return {name: found[name] for name in names if name in found}
