"""What the program declares, as a reviewer's rules look at it: resources with their types, names and inputs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

POLICY_INPUTS = ("policy", "assumeRolePolicy", "keyPolicy", "inlinePolicy")


@dataclass(frozen=True)
class Declared:
    """One resource; `id` is what others refer to it by, `kept` that destroying the stack leaves it, `adopted` the id of
    the existing one that it takes over, `after` the resources that it waits for, `replaced_by` the inputs whose change
    makes another one, `ignored` those whose change is let be.
    """

    type: str
    name: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    kept: bool = False
    adopted: str = ""
    after: frozenset[str] = frozenset()
    replaced_by: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.type} {self.name}"

    def at(self, *path: str | int) -> Any:
        """A nested input, or None where any part of the way is missing."""
        found: Any = self.inputs
        for part in path:
            if isinstance(part, int):
                found = found[part] if isinstance(found, Sequence) and len(found) > part else None
            else:
                found = found.get(part) if isinstance(found, Mapping) else None
        return found


@dataclass(frozen=True)
class Program:
    """All resources of one stack, and its outputs."""

    resources: Sequence[Declared]
    outputs: Mapping[str, Any] = field(default_factory=dict)

    def of(self, *types: str) -> Iterator[Declared]:
        """The resources of these types."""
        return (each for each in self.resources if each.type in types)

    def beside(self, resource: Declared, kind: str, key: str = "bucket") -> list[Declared]:
        """The resources of a type whose `key` leads to this one."""
        return [each for each in self.of(kind) if each.inputs.get(key) == resource.id]

    def documents(self) -> Iterator[tuple[Declared, str, Mapping[str, Any]]]:
        """Every IAM document: the resource, the input that holds it, and its content."""
        for resource in self.resources:
            for name in POLICY_INPUTS:
                text = resource.inputs.get(name)
                if isinstance(text, str) and '"Statement"' in text:
                    yield resource, name, json.loads(text)

    def statements(self) -> Iterator[tuple[Declared, str, Mapping[str, Any]]]:
        """Every statement of every IAM document."""
        for resource, name, content in self.documents():
            statements = content["Statement"]
            for each in statements if isinstance(statements, list) else [statements]:
                yield resource, name, each


def listed(value: object) -> list[Any]:
    """What IAM documents write as one value or as a list of values, as a list."""
    return value if isinstance(value, list) else [] if value is None else [value]
