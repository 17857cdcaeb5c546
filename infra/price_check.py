"""`python -m infra.price_check`: whether AWS' price list still has each price of `prices.py`, where there is a network.

A price is looked for among all that its service asks in us-east-1: the list's own names of products change more often
than prices do. The exit code is 1 when one is found nowhere, 2 when the list cannot be asked.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.prices import PAGES, PRICES, Price

REGION = "us-east-1"
SAME = 1e-6


def unlisted(client: Any, prices: Mapping[str, Price] = PRICES) -> dict[str, Price]:
    """The prices that AWS asks for nothing of their service."""
    asked = {service: set(_asked(client, service)) for service in {PAGES[price.source] for price in prices.values()}}
    return {
        name: price
        for name, price in prices.items()
        if not any(abs(usd / price.each - 1) < SAME for usd in asked[PAGES[price.source]])
    }


def _asked(client: Any, service: str) -> Iterator[float]:
    """Every price above zero of a service, for one unit."""
    wanted = [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": REGION}]
    for page in client.get_paginator("get_products").paginate(ServiceCode=service, Filters=wanted):
        for product in map(json.loads, page["PriceList"]):
            for term in product.get("terms", {}).get("OnDemand", {}).values():
                for dimension in term["priceDimensions"].values():
                    usd = float(dimension["pricePerUnit"].get("USD", 0))
                    if usd > 0:
                        yield usd


def main() -> int:
    """Prints what differs; gives the exit code."""
    try:
        found = unlisted(boto3.client("pricing", region_name=REGION))
    except (BotoCoreError, ClientError) as error:
        print(f"price_check: AWS' price list cannot be asked ({error}): it needs a network and AWS credentials")
        return 2
    for name, price in found.items():
        print(f"price_check: {name}: {price} of {price.seen} is not in AWS' list: look at {price.source}")
    print(f"price_check: {len(PRICES) - len(found)} of {len(PRICES)} prices are in AWS' list of {REGION}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
