"""Values read from files, checked against the types of a dataclass."""

import typing

_LARGEST = 1 << 63


def check_fields(record: object) -> None:
    """Check that every field of a dataclass has a value of its type, down to the items of lists and dicts.

    Raises:
        TypeError: a field has another value; the message names it.
    """
    from typeguard import CollectionCheckStrategy, TypeCheckError, check_type  # slow to import

    for name, kind in typing.get_type_hints(type(record)).items():
        try:
            check_type(
                getattr(record, name), kind, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS
            )
        except TypeCheckError as error:
            raise TypeError(f"{name}: {error}") from None


def check_plain(value: object) -> None:
    """Check that a value consists of JSON's types, with integers of 64 bits.

    Raises:
        TypeError: it holds something else.
    """
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise TypeError(f"{name!r} is not text")
            check_plain(item)
    elif isinstance(value, list | tuple):
        for item in value:
            check_plain(item)
    elif isinstance(value, int):
        if not -_LARGEST <= value < _LARGEST:
            raise TypeError("a number has more than 64 bits")
    elif not (value is None or isinstance(value, str | float)):
        raise TypeError(f"a value is a {type(value).__name__}")
