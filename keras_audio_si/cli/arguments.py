"""Command-line arguments: flags generated from settings, and arguments that several commands share."""

import argparse
import dataclasses
import inspect
import re
import sys
import types
import typing

from keras_audio_si.checks import nearest

CACHE_DIR = "runs/cache"


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations that suggests the nearest known option for an unknown one."""

    def __init__(self, **kwargs):
        super().__init__(**{"allow_abbrev": False, **kwargs})

    def parse_known_args(self, args=None, namespace=None):
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            known = [option for option in self._option_string_actions if option.startswith("--")]
            self.error(f"unknown argument {unknown[0]}{nearest(unknown[0], known) or f' (see {self.prog} --help)'}")
        return namespace, unknown


def add_settings(parser, settings, without=(), defaults="defaults: those of the preset or recipe"):
    """Adds a flag for every field of dataclasses: its type from the field, its help from the docstring.

    A flag that is not given is left out of the namespace. Where a field may be None, or is of several values, "none" in
    any case stands for it, or for no value.

    Args:
        parser: `argparse.ArgumentParser`
        settings: Dataclass whose fields are dataclasses, such as `experiments.settings.Settings`; a group for each.
        without: Names of fields that get no flag.
        defaults: What the titles of the groups say about defaults.

    Example:

    >>> from keras_audio_si.experiments.settings import Settings
    >>> parser = Parser()
    >>> add_settings(parser, Settings)
    >>> parser.parse_args("--fps 25 --no-masked --mixings mixup freqmix --width none".split())
    Namespace(frames_per_second=25.0, masked=False, mixings=['mixup', 'freqmix'], width=None)
    """
    fields = [field for part in dataclasses.fields(settings) for field in dataclasses.fields(part.type)]
    flags = {field.name: f"--{_flag(field)}" for field in fields}
    for part in dataclasses.fields(settings):
        group = parser.add_argument_group(f"{part.name} ({defaults})", argument_default=argparse.SUPPRESS)
        described, hints = descriptions(part.type), typing.get_type_hints(part.type)
        for field in dataclasses.fields(part.type):
            if field.name in without:
                continue
            kind = _kind(hints[field.name])
            help = _in_flags(described[field.name], flags, switch="metavar" not in kind).replace("%", "%%")
            group.add_argument(flags[field.name], dest=field.name, help=help, **kind)


def _flag(field):
    return field.metadata.get("flag", field.name).replace("_", "-")


def _in_flags(text, flags, switch):
    """What a docstring says of a setting, in the words of the command line: flags for names, none for None."""
    if switch:
        text = text.replace('`"auto"`', "neither flag")
    text = re.sub(r"`(\w+)`", lambda found: flags.get(found[1], found[0]), text)
    return re.sub(r"\bNone\b", "none", text)


def flags_of(settings, base):
    """Returns the flags that make settings of others, as `add_settings` adds them; the seed has none.

    Args:
        settings: Dataclass whose fields are dataclasses, such as `experiments.settings.Settings`.
        base: The settings to start from, such as those of a preset.

    Example:

    >>> from keras_audio_si.experiments.settings import Settings
    >>> settings = Settings().changed(pooling="tlpf5+aps", epochs=8, early_stopping_patience=None, masked_bands=0.5)
    >>> " ".join(flags_of(settings, Settings()))
    '--masked-bands 0.5 --pooling tlpf5+aps --epochs 8 --early-stopping-patience none'
    """
    flags = []
    for part in dataclasses.fields(settings):
        new, old = getattr(settings, part.name), getattr(base, part.name)
        for field in dataclasses.fields(new):
            value = getattr(new, field.name)
            if field.name == "seed" or value == getattr(old, field.name):
                continue
            flag = _flag(field)
            if isinstance(value, bool):
                flags.append(f"--{flag}" if value else f"--no-{flag}")
            else:
                values = value if isinstance(value, tuple) else (value,)
                flags += [f"--{flag}", *("none" if item is None else str(item) for item in values)]
    return flags


def descriptions(described):
    """Returns the first sentence of what a docstring says of each argument.

    Args:
        described: Class or function with a section "Args:" in its docstring.

    Returns:
        Dict of strings, without the last full stop.
    """
    section = inspect.getdoc(described).partition("\nArgs:\n")[2].partition("\n\n")[0]
    found = {}
    for entry in re.split(r"\n {4}(?=\w)", "\n" + section)[1:]:
        name, _, text = entry.partition(": ")
        text = " ".join(text.split())
        found[name] = re.split(r"(?<=[\w)`\]\"])\.(?= [A-Z`]|$)", text)[0]
    return found


def _kind(hint):
    """Keywords of `add_argument` for a type: number, text or switch, or several of these; "none" where it may be."""
    union = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if bool in union:
        return {"action": argparse.BooleanOptionalAction}
    kind, optional = union[0], types.NoneType in union
    several = typing.get_origin(kind) is tuple
    if several:
        kind = typing.get_args(kind)[0]
    metavar = {int: "N", float: "X", str: "NAME"}[kind]
    arguments = {"type": _or_none(kind) if several or optional else kind, "metavar": metavar}
    return arguments | ({"nargs": "*", "action": _Several, "const": None if optional else ()} if several else {})


def _or_none(kind):
    def convert(text):
        return None if text.lower() == "none" else kind(text)

    convert.__name__ = kind.__name__  # What argparse calls it in an error.
    return convert


class _Several(argparse.Action):
    """Takes several values; none, alone, stands for what `const` has."""

    def __call__(self, parser, namespace, values, option_string=None):
        if None in values and len(values) > 1:
            raise argparse.ArgumentError(self, "none stands alone, without other values")
        setattr(namespace, self.dest, self.const if None in values else values)


def add_debug(parser):
    """Adds `--debug`."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def add_common(parser):
    """Adds `--debug` and `--backend`, which is for programs that import Keras later."""
    add_debug(parser)
    parser.add_argument("--backend", help="tensorflow, jax or torch (default: KERAS_BACKEND, or Keras' own)")


def add_data(parser, required=True):
    """Adds which data are read."""
    help = "folder of a data set, or a manifest CSV file"
    parser.add_argument("--data", required=required, metavar="PATH", help=help)
    parser.add_argument("--layout", default="auto", help="layout of the data (see `list datasets`; default: auto)")


class _BeamFlags(argparse.Action):
    """Takes the rest of the command line; a flag of the command among it would have no effect there."""

    def __call__(self, parser, namespace, values, option_string=None):
        for flag in values:
            if flag.partition("=")[0] in parser._option_string_actions:
                parser.error(f"{flag} must come before --beam: what follows --beam are flags of Apache Beam")
        setattr(namespace, self.dest, values)


def add_beam(parser, what):
    """Adds `--beam`, behind which all arguments are those of Apache Beam."""
    help = f"{what} by the workers of Apache Beam (extra beam). Comes last: its flags follow, as --runner=FlinkRunner"
    parser.add_argument("--beam", action=_BeamFlags, nargs=argparse.REMAINDER, help=help)


def add_source(parser, required=True):
    """Adds which data are read, and where decoded audio is kept."""
    add_data(parser, required)
    cache = parser.add_mutually_exclusive_group()
    cache.add_argument("--cache-dir", default=CACHE_DIR, metavar="DIR", help=f"decoded audio (default: {CACHE_DIR})")
    help = "decode clips each time they are read; best from shards of `prepare` at the rate of the model"
    cache.add_argument("--no-cache", dest="cache_dir", action="store_const", const=None, help=help)


def add_choice(parser, required=True, batches=True):
    """Adds which clips of the data a saved model is applied to."""
    add_source(parser, required)
    parser.add_argument("--split", metavar="NAME", help="clips of this split")
    parser.add_argument("--folds", nargs="+", type=int, metavar="N", help="clips of these folds")
    if batches:
        parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="patches per batch (default: 64)")


def add_saving(parser):
    """Adds what happens to a run that was cut off."""
    group = parser.add_argument_group("runs that are cut off")
    choice = group.add_mutually_exclusive_group()
    choice.add_argument("--resume", action="store_true", help="continue what the output folder has, if anything")
    choice.add_argument("--overwrite", action="store_true", help="replace the run that the output folder has")
    group.add_argument("--checkpoint-steps", type=int, metavar="N", help="checkpoints within an epoch as well")


def verbosity():
    """`verbose` of what a command runs: a progress bar in a terminal, lines in a file or a pipe."""
    return "auto" if sys.stdout.isatty() else 2


def saving_of(args):
    """Returns a dict of the arguments that `add_saving` adds."""
    return {name: getattr(args, name) for name in ("resume", "overwrite", "checkpoint_steps")}
