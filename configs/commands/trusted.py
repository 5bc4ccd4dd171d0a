"""What this command line says about modules: `--trust MODULE`, and ids of tasks that it names itself."""

from collections.abc import Sequence

TRUST = "--trust"
"""Option of every command: let a data set or a run name this module; it may be given again for more."""
POLICY = "--policy"


def without_trust(argv: Sequence[str]) -> list[str]:
    """The arguments without `--trust MODULE`, after everything that they name has been trusted.

    That is every MODULE of `--trust`, of an id gym:MODULE:Id wherever it is given, and of `--policy MODULE:function`.

    Raises:
        ValueError: `--trust` without a module.
    """
    left: list[str] = []
    modules: list[str] = []
    ids: list[str] = []
    arguments = iter(argv)
    for argument in arguments:
        name, separator, value = argument.partition("=")
        if name == TRUST:
            modules.append(value if separator else next(arguments, ""))
            continue
        policy = argument if left and left[-1] == POLICY else value if name == POLICY else ""
        modules += [module for module, found, _ in (policy.partition(":"),) if found and module.isidentifier()]
        ids += [each for each in (argument, value) if each.startswith("gym:")]
        left.append(argument)
    if modules or ids:
        from generalist.envs.trust import trust, trust_task  # here, so that help is quick

        trust(modules)
        for id in ids:
            trust_task(id)
    return left
