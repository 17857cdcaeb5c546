"""The pages that people read of the contracts."""

import pytest

from lakehouse.contract_docs import page, pages
from lakehouse.contracts import Contracts, load_contracts
from lakehouse.settings import CONTRACTS


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return load_contracts(CONTRACTS)


def test_there_is_a_page_per_contract_and_an_index(contracts: Contracts) -> None:
    texts = pages(contracts)
    assert set(texts) == {"README.md", *(f"{name}.md" for name in contracts)}
    for name, contract in contracts.items():
        assert f"| [{name}]({name}.md) | {contract.owner} | {contract.description} |\n" in texts["README.md"]
        for column in contract.columns:
            assert f"| `{column.name}` |" in texts[f"{name}.md"]


def test_index_lists_the_checks_in_the_order_they_are_tried(contracts: Contracts) -> None:
    assert pages(contracts)["README.md"].endswith(
        "| check | what it holds |\n"
        "| --- | --- |\n"
        "| required | A required column must have a value. |\n"
        "| in_range | A number must lie between `minimum` and `maximum`, both included. |\n"
        "| one_of | A text must be one of the valid values. |\n"
        "| like_pattern | The whole text must match the regular expression (RE2). |\n"
        "| not_too_long | A text must have at most `maxLength` characters (Unicode code points). |\n"
        "| in_time | The event time must not be before 2000 nor a day (or `eventTimeAhead`) after the arrival. |\n"
    )


def test_page_of_a_source_shows_its_rules(contracts: Contracts) -> None:
    assert page(contracts["stores"]) == (
        "# stores\n"
        "\n"
        "Where a store is, from a moment on.\n"
        "\n"
        "| agreed |  |\n"
        "| --- | --- |\n"
        "| kind | source |\n"
        "| version | 1.1.0 |\n"
        "| owner | Sales |\n"
        "| identity | `store_id`, `valid_from` |\n"
        "| of two records with one identity wins | the greater `arrived_at`, `record_id` |\n"
        "| event time | `valid_from` |\n"
        "| event time is later than the arrival by | at most 732 days |\n"
        "| kept for | 3653 days |\n"
        "\n"
        "## Columns\n"
        "\n"
        "| field | column | type | what it is | rules | classification |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| `store_id` | `store_id` | `int` | The store. | required: must have a value | internal |\n"
        "| `region` | `region` | `string` | Sales region of the store. | required: must have a value; "
        "length: must have at most 64 characters | public |\n"
        "| `country` | `country` | `string` | Country of the store, ISO 3166-1 alpha-2. | required: must have a value; "
        "pattern: must match ^[A-Z]{2}$ | public |\n"
        "| `valid_from` | `valid_from` | `timestamp` | When this row begins to hold. | required: must have a value; "
        "event_time: must be from 2000-01-01 on, at most 732 days after the record arrived | internal |\n"
        "\n"
        "## Who may read it\n"
        "\n"
        "| role | columns | rows |\n"
        "| --- | --- | --- |\n"
        "| sales | all | all |\n"
        "| finance | all | all |\n"
        "| data_engineer | all | all |\n"
    )


def test_page_of_a_silver_table_shows_where_columns_come_from(contracts: Contracts) -> None:
    text = page(contracts["enriched_inventory"])
    assert "| made from | [inventory](inventory.md) |\n" in text
    assert "| settled by | `stock_key`, up to 2 days apart |\n" in text
    assert "| `product_id \\|\\| '@' \\|\\| warehouse_id` | internal |\n" in text
    assert "| `warehouses.region` at the event time | public |\n" in text
    assert "| settled with the rows before it in its group | internal |\n" in text


def test_page_shows_who_may_read_which_rows_and_columns(contracts: Contracts) -> None:
    assert page(contracts["campaign_spend"]).endswith(
        "| marketing | all | all |\n| finance | all | all |\n| data_engineer | all | all |\n"
    )
    interactions = page(contracts["customer_interactions"])
    readable = next(line for line in interactions.splitlines() if line.startswith("| customer_support | "))
    assert "`interaction_id`" in readable
    assert "`customer_id`" not in readable
    assert "| `kpi_name in ('daily_revenue', 'refunds', 'discounts', 'net_sales')` |\n" in page(contracts["sales_kpis"])
