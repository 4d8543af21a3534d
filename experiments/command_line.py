"""The command lines of classifiers that are no experiment of the package: a typo is one sentence there too."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tyro

from rnnjax import cli, misspelt


def parse(
    command: str, about: str, verbs: Mapping[str, Callable[..., Callable[[], int]]], arguments: Sequence[str]
) -> Callable[[], int]:
    """What the arguments ask for; without a verb it is ``train``.

    Args:
      command: how the program is called.
      about: what its help begins with.
      verbs: the functions of the commands by name, as tyro reads them.
      arguments: of the command line.

    Raises:
      UsageError: at a verb or an option that there is not.
    """
    given = cli.with_command(cli.with_plain_help(arguments), tuple(verbs))
    known = {name: misspelt.flags_of(verb, (), object) for name, verb in verbs.items()}
    misspelt.check(given, known, command)
    asked: Any = tyro.extras.subcommand_cli_from_dict(
        dict(verbs),
        prog=command,
        description=f"{about}\n\n{cli.EXIT_CODES}",
        args=given,
        config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
    )
    return asked
