"""The codec as cattrs alone would do it.

Owns: GENERAL, which judges what the hand-made codec cannot read, and that codec itself in a
property test.
Must never: be imported on the way of a run that is sound: cattrs takes longer to import than the
whole rest of the core.
Read next: `codec.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from durable_wf.core.codec import BESIDE, UPCASTS, Codec, Upcast
from durable_wf.core.events import KINDS, AttemptSucceeded
from durable_wf.core.payload import Value


class GeneralCodec(Codec):
    """All kinds in `kinds`, through cattrs."""

    def __init__(
        self, kinds: Mapping[str, type], upcasts: Mapping[str, tuple[Upcast, ...]]
    ) -> None:
        super().__init__(kinds, upcasts)
        self._converter = _make_converter(tuple(kinds.values()))

    def structure(self, fields: dict[str, Any], cls: type) -> Any:
        """As the base class."""
        return self._converter.structure(fields, cls)

    def unstructure(self, value: Any) -> dict[str, Any]:
        """As the base class."""
        fields: dict[str, Any] = self._converter.unstructure(value)
        return fields


def _make_converter(kinds: tuple[type, ...]) -> Converter:
    converter = Converter(forbid_extra_keys=True, omit_if_default=True, detailed_validation=False)
    for plain in (int, str, bool):
        converter.register_structure_hook(plain, _exactly(plain))
    converter.register_structure_hook(Value, lambda value, _: value)

    def write(cls: type) -> Any:
        beside = BESIDE | {"value"} if cls is AttemptSucceeded else BESIDE
        omitted: dict[str, Any] = {
            name: override(omit=True) for name in attrs.fields_dict(cls) if name in beside
        }
        return make_dict_unstructure_fn(cls, converter, _cattrs_omit_if_default=True, **omitted)

    def read(cls: type) -> Any:
        return make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True)

    # Factories, since a log holds few of the kinds and each function takes a millisecond to make.
    converter.register_unstructure_hook_factory(kinds.__contains__, write)
    converter.register_structure_hook_factory(kinds.__contains__, read)
    return converter


def _exactly(plain: type) -> Callable[[Any, Any], Any]:
    def check(value: Any, _: Any) -> Any:
        if type(value) is not plain:
            raise TypeError(f"{value!r} is not of type {plain.__name__}")
        return value

    return check


GENERAL = GeneralCodec(KINDS, UPCASTS)
