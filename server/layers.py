"""The layers of a call's configuration, the nearest first, and what of a key stands in them.

Within a layer the keys inside ``config`` win over those beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Layers = Sequence[dict[str, Any]]
P = TypeVar("P", bound="DataclassInstance")


def values(layers: Layers, key: str) -> Iterator[Any]:
    """All that is said for a key, the nearest first."""
    for layer in layers:
        inner = layer.get("config")
        for holder in (getattr(inner, key, None), layer.get(key)):
            if holder is not None:
                yield holder


def first(layers: Layers, key: str) -> Any:
    """The nearest of them; None: nobody says anything."""
    return next(values(layers, key), None)


def part(layers: Layers, key: str, name: str) -> Any:
    """The nearest that is said for one part of a key."""
    return next((v for holder in values(layers, key) if (v := getattr(holder, name, None)) is not None), None)


def of(value: Any, kind: type, name: str) -> Any:
    """A key of an object, where it is one."""
    return getattr(value, name) if isinstance(value, kind) else None


def changed(params: P, **values: Any) -> P:
    """With what is set at all."""
    return replace(params, **{name: value for name, value in values.items() if value is not None})
