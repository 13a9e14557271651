"""The table of operator definitions of one framework, and the strict reader of an operator's attributes.

A definition is a function that reads the attributes of one node, with its framework's own defaults, and returns the
computation. All attributes must have been read, or named as irrelevant, by the time it returns: an attribute that
nobody read might change the result, so it is an error. Definitions run before anything is computed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Generic, TypeVar

from facecvt.converters.errors import AttributeValueError

Definition = TypeVar("Definition")


class OperatorTable(Generic[Definition]):
    """Operator name -> definition.

    Args:
        framework: its name, for errors.
    """

    def __init__(self, framework: str) -> None:
        self.framework = framework
        self._definitions: dict[str, Definition] = {}

    def add(self, names: Collection[str], definition: Definition) -> None:
        """Register a definition under some names.

        Raises:
            ValueError: a name is taken.
        """
        for name in names:
            if name in self._definitions:
                raise ValueError(f"the {self.framework} oracle already defines {name}")
            self._definitions[name] = definition

    def get(self, name: str) -> Definition | None:
        """The definition of an operator, None where there is none."""
        return self._definitions.get(name)

    def names(self) -> list[str]:
        """All operators, sorted."""
        return sorted(self._definitions)


class AttributeReader:
    """Attributes of one node, each of which must be read or ignored by name.

    Args:
        operator: operator name, for errors.
        node: node name, for errors.
        attributes: name -> value as the model holds it.
        irrelevant: names that never change a result (performance hints, bookkeeping).
    """

    def __init__(
        self, operator: str, node: str, attributes: Mapping[str, Any], irrelevant: Collection[str] = ()
    ) -> None:
        self.operator = operator
        self.node = node
        self._attributes = attributes
        self._seen = set(irrelevant)

    def has(self, name: str) -> bool:
        """Whether the attribute is written."""
        return name in self._attributes

    def raw(self, name: str, default: Any = None) -> Any:
        """The attribute as the model holds it; marks it as read."""
        self._seen.add(name)
        return self._attributes.get(name, default)

    def required(self, name: str) -> Any:
        """The attribute as the model holds it.

        Raises:
            AttributeValueError: it is not written.
        """
        if name not in self._attributes:
            raise AttributeValueError(f"{self.operator} {self.node}: attribute {name} is missing")
        return self.raw(name)

    def ignore(self, *names: str) -> None:
        """Name attributes that do not change what this operator computes at inference."""
        self._seen.update(names)

    def refuse(self, name: str, why: str) -> AttributeValueError:
        """An error about one attribute's value, to be raised."""
        return AttributeValueError(f"{self.operator} {self.node}: {name} = {self._attributes.get(name)!r}: {why}")

    def one_of(self, name: str, default: str, allowed: Collection[str]) -> str:
        """A string out of a closed set.

        Raises:
            AttributeValueError: another value.
        """
        value = str(self.raw(name, default))
        if value not in allowed:
            raise self.refuse(name, f"the oracle knows {', '.join(sorted(allowed))}")
        return value

    def finish(self) -> None:
        """Check that nothing was overlooked.

        Raises:
            AttributeValueError: attributes that the definition neither read nor ignored.
        """
        unread = sorted(set(self._attributes) - self._seen)
        if unread:
            written = ", ".join(f"{name}={self._attributes[name]!r}" for name in unread)
            raise AttributeValueError(
                f"{self.operator} {self.node}: attribute(s) that facecvt does not know: {written}"
            )
