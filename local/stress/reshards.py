"""Shards that are split and merged at random while events are produced and read."""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from local.repeating import Repeating

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import ShardTypeDef

SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 6.0, 18.0
MOST_SHARDS = 4
# Kinesis refuses while the last reshard is under way, and more than so many a day.
NOT_NOW = ("ResourceInUseException", "LimitExceededException")


class Reshards(Repeating):
    """Reshards the streams as long as the `with` block lasts; `done` counts the splits and merges."""

    def __init__(self, kinesis: "KinesisClient", streams: Sequence[str], seed: int) -> None:
        self.done = 0
        self._kinesis = kinesis
        self._streams = streams
        self._random = random.Random(seed)  # noqa: S311 - a test's course, no secret
        super().__init__("reshards", self._next_pause, self._reshard_any)

    def _next_pause(self) -> float:
        return self._random.uniform(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)

    def _reshard_any(self) -> None:
        try:
            self._reshard(self._random.choice(self._streams))
        except ClientError as error:
            if error.response["Error"]["Code"] not in NOT_NOW:
                raise
        else:
            self.done += 1

    def _reshard(self, stream: str) -> None:
        shards = [each for each in self._shards(stream) if "EndingSequenceNumber" not in each["SequenceNumberRange"]]
        shards.sort(key=lambda each: int(each["HashKeyRange"]["StartingHashKey"]))
        if len(shards) > 1 and (len(shards) >= MOST_SHARDS or self._random.random() < 0.5):
            place = self._random.randrange(len(shards) - 1)
            left, right = shards[place]["ShardId"], shards[place + 1]["ShardId"]
            self._kinesis.merge_shards(StreamName=stream, ShardToMerge=left, AdjacentShardToMerge=right)
            return
        shard = self._random.choice(shards)
        first, last = (int(shard["HashKeyRange"][end]) for end in ("StartingHashKey", "EndingHashKey"))
        middle = str(first + (last - first) // 2)
        self._kinesis.split_shard(StreamName=stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=middle)

    def _shards(self, stream: str) -> "list[ShardTypeDef]":
        """Closed shards stay listed, so a long run has many pages; boto3's paginator repeats the stream's name with the
        token of a page, which Kinesis refuses.
        """
        page = self._kinesis.list_shards(StreamName=stream)
        found = page["Shards"]
        while token := page.get("NextToken"):
            page = self._kinesis.list_shards(NextToken=token)
            found += page["Shards"]
        return found
