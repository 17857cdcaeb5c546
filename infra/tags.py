"""The default tags, put on everything that can carry tags: a component only says where it differs."""

import functools
import inspect
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
    """Whether an AWS resource type such as `aws:s3/bucket:Bucket` has tags, told by its class in pulumi_aws."""
    module, _, name = resource_type.removeprefix("aws:").partition("/")
    try:
        package = __import__(f"pulumi_aws.{module}", fromlist=[module])
        resource = getattr(package, name.partition(":")[2])
    except (ImportError, AttributeError):
        return False
    return "tags" in inspect.signature(resource._internal_init).parameters
