"""The default tags, put on everything that can carry tags: a component only says where it differs.

The provider's own `defaultTags` would do it too, if every resource were given a provider that the program makes: that
one would not know what the stack's configuration says about who calls (`aws:profile`, `aws:assumeRoles` and so on).
"""

import functools
import importlib
from collections.abc import Mapping
from typing import Any

import pulumi


def tag_everything(tags: Mapping[str, str]) -> None:
    """From now on every AWS resource of the program gets these tags; its own win."""

    def add(given: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
        if not (given.type_.startswith("aws:") and takes_tags(given.type_)):
            return None
        properties: dict[str, Any] = dict(given.props)
        properties["tags"] = {**tags, **(properties.get("tags") or {})}
        return pulumi.ResourceTransformResult(properties, given.opts)

    pulumi.runtime.register_resource_transform(add)


@functools.cache
def takes_tags(resource_type: str) -> bool:
    """Whether an AWS resource type such as `aws:s3/bucket:Bucket` has tags, told by its arguments in pulumi_aws."""
    module, _, name = resource_type.removeprefix("aws:").partition("/")
    try:
        package = importlib.import_module(f"pulumi_aws.{module}")
        arguments = getattr(package, f"{name.partition(':')[2]}Args")
    except (ImportError, AttributeError):
        return False
    return hasattr(arguments, "tags")
