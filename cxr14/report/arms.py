"""Grouping of runs into arms, and the arms' names."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace

from cxr14.report.conditions import Trainings
from cxr14.report.runs import Arm, Run


def group(runs: Sequence[Run], trainings: Trainings) -> tuple[Arm, ...]:
    """Return the arms of a section, networks alone first, in the order of the networks' folders.

    Args:
        runs: all that were tested on one image list.
        trainings: of these runs.
    """
    ordered = sorted(runs, key=_order)
    arms = []
    for alike in _split(ordered, lambda run: _condition_key(run, trainings)):
        seeds = [run.seed for run in alike]
        if None in seeds:
            arms += [[run] for run in alike]
        elif len(set(seeds)) == len(seeds):
            arms.append(alike)
        else:
            # One seed twice: perhaps two checkpoints of one teacher. What is left is a repetition.
            for same_teacher in _split(alike, lambda run: str(run.about("settings", "teacher_ckpt_path"))):
                arms += _without_repetitions(same_teacher)
    named = list(_named([sorted(arm, key=_seed_order) for arm in arms], trainings))
    return tuple(sorted(named, key=lambda arm: _order(arm.runs[0])))


def _order(run: Run) -> tuple[object, ...]:
    number = (run.test.teacher or run.test.network).partition("-")[0]
    by_number = int(number) if number.isdigit() else 10**6
    return (run.teacher is not None, by_number, run.test.teacher or "", run.test.network, run.folder)


def _seed_order(run: Run) -> int:
    return -1 if run.seed is None else run.seed


def _condition_key(run: Run, trainings: Trainings) -> Hashable:
    conditions = trainings.conditions(run)
    loss = run.about("settings", "distill_loss")
    rule = (run.threshold_rule, run.target_sensitivity)
    # The checkpoint that a training started from may be one for each seed.
    shared = conditions._replace(start_path=None)
    return (run.test.network, run.test.teacher, loss, rule, repr(shared))


def _split(runs: Iterable[Run], key: Callable[[Run], Hashable]) -> list[list[Run]]:
    parts: dict[Hashable, list[Run]] = defaultdict(list)
    for run in runs:
        parts[key(run)].append(run)
    return list(parts.values())


def _without_repetitions(runs: Sequence[Run]) -> list[list[Run]]:
    """Put the first run of each seed into one arm, the second ones into another, and so on."""
    arms: list[list[Run]] = []
    for run in runs:
        for arm in arms:
            if run.seed not in {other.seed for other in arm}:
                arm.append(run)
                break
        else:
            arms.append([run])
    return arms


def _named(groups: Sequence[Sequence[Run]], trainings: Trainings) -> Iterable[Arm]:
    """Yield the groups as arms, with suffixes where two have the same network and teacher."""
    for runs in groups:
        same = [others for others in groups if _network_and_teacher(others) == _network_and_teacher(runs)]
        suffix = ", ".join(_suffixes(runs, same, trainings))
        arm = Arm(tuple(runs), f" ({suffix})" if suffix else "")
        named = [
            replace(
                run,
                name=arm.name if len(runs) == 1 else f"{arm.name}, seed {run.seed}",
                epochs_before=trainings.epochs_before(run),
                is_rising=trainings.is_rising(run),
            )
            for run in runs
        ]
        yield replace(arm, runs=tuple(named))


def _suffixes(runs: Sequence[Run], same: Sequence[Sequence[Run]], trainings: Trainings) -> list[str]:
    """Return what tells `runs` from the other groups, or else the name of their first folder."""
    mine = _traits(runs, trainings)
    traits = [_traits(others, trainings) for others in same]
    # A setting that only some trainings have, such as a temperature, would say nothing about the others.
    recorded = [name for name in mine if all(name in each for each in traits)]
    differing = [name for name in recorded if len({each[name] for each in traits}) > 1]
    found = [mine[name] for name in differing if mine[name]]
    alike = [
        others
        for others, each in zip(same, traits, strict=True)
        if [each[name] for name in differing] == [mine[name] for name in differing]
    ]
    if len(alike) > 1:
        found.append(_seeds(runs))
        if sum(_seeds(others) == _seeds(runs) for others in alike) > 1:
            found.append(runs[0].folder.name)
    return found


def _network_and_teacher(runs: Sequence[Run]) -> tuple[str, str | None]:
    return runs[0].test.network, runs[0].test.teacher


def _seeds(runs: Sequence[Run]) -> str:
    return f"seed{'s' if len(runs) > 1 else ''} {', '.join(str(run.seed) for run in runs)}"


def _traits(runs: Sequence[Run], trainings: Trainings) -> dict[str, str]:
    """Return what may tell arms of one network and teacher apart, as text; "" for what was not recorded."""
    first, conditions = runs[0], trainings.conditions(runs[0])
    epochs = conditions.epochs if conditions.epochs is not None else conditions.schedule
    loss = first.about("settings", "distill_loss")
    if loss is None and first.teacher:
        loss = "unknown"
    traits = {
        "loss": _trait("{} loss", loss),
        "start": _trait("from {}", conditions.start or None),
        "epochs": _trait("{} epochs", epochs),
        "image size": _trait("{} px", conditions.image_size),
        "crops": _trait("{} crops", conditions.crops),
    }
    for name, value in conditions.settings.items():
        text = f"{value:g}" if isinstance(value, float) else value
        traits[name] = f"{name.replace('_', ' ')} {text}"
    return traits


def _trait(form: str, value: object) -> str:
    return "" if value is None else form.format(value)
