"""Of the rows with one identity the greatest by the contract's precedence stands."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from lakehouse.contracts import Contract

EXISTING, WON, AGAIN = "_existing", "_won", "_again"


def contest(rows: DataFrame, silver: Contract) -> DataFrame:
    """Tells of each row whether it stands (`_won`), or else whether it is the winner's record once more (`_again`).

    `rows` have the silver columns and `_existing`: whether silver holds them already, which decides between equals.
    """
    rivals = Window.partitionBy(*silver.identity)
    ranked = rivals.orderBy(*(F.col(each).desc() for each in silver.precedence), F.col(EXISTING).desc())
    again = F.col("record_id") == F.first("record_id").over(ranked)
    return rows.select("*", (F.row_number().over(ranked) == 1).alias(WON), again.alias("_same")).select(
        *rows.columns, WON, (~F.col(WON) & F.col("_same")).alias(AGAIN)
    )
