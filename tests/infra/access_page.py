"""`python -m tests.infra.access_page` writes docs/access.md: who may read what by the contracts, and what each role of
the estate may do by the policies and grants that the program declares.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.package import VARIABLE
from lakehouse.contracts import Contracts, load_contracts
from lakehouse.policies import all_access, role_names
from lakehouse.settings import CONTRACTS
from tests.infra.conftest import put_package
from tests.infra.declared import Declared, Program, listed
from tests.infra.recorded_program import ACCOUNT, REGION, recorded

PAGE = Path(__file__).resolve().parents[2] / "docs" / "access.md"
ROLE, POLICY = "aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy"
GRANT = "aws:lakeformation/permissions:Permissions"
STACK, ENVIRONMENT = "prod", "shopware-lakehouse-prod"
# Everything, so that every role there can be is there.
SWITCHES = {"warehouse": True, "fan_out": True, "object_lock": True}
INSTANCE = "arn:aws:sso:::instance/ssoins-7223f1c2d3e4a5b6"
TOP = """# Who may read what

Written by `python -m tests.infra.access_page`; a test keeps it equal. First from the roles in `contracts/`: Lake
Formation grants exactly this (`infra/governance.py`), in Athena and in the warehouse, where each query asks as the role
of who asks (`infra/warehouse.py`). What is not listed is denied.
"""
ROLES = """
# What each role may do

From the IAM policies and Lake Formation grants of the stack `prod` with every feature, as the program declares them.
`<name>` is the estate's name with the environment. In a stack with `compute.together` one role `<name>-job-all` has the
rights of the three streaming jobs. No role has a policy beside these.
"""


def page(contracts: Contracts, program: Program) -> str:
    """The page: for each reader its tables with columns and rows, then for each role its statements and grants."""
    parts = [TOP]
    for role in role_names(contracts):
        parts.append(f"\n## {role}\n\n| table | columns | rows |\n| --- | --- | --- |\n")
        for access in all_access(contracts):
            if access.role == role:
                names = contracts.table(access.table).column_names
                hidden = [name for name in names if name not in access.columns]
                columns = "all" if not hidden else f"all but {', '.join(f'`{name}`' for name in hidden)}"
                rows = "all" if access.row_filter is None else f"`{access.row_filter}`"
                parts.append(f"| `{access.table}` | {columns} | {rows} |\n")
    parts.append(ROLES)
    for declared in sorted(program.of(ROLE), key=_name):
        parts += _role(program, declared)
    return "".join(parts)


def whole_program() -> Program:
    """The program that the page is about."""
    return recorded(STACK, switches=SWITCHES, identity_center=INSTANCE)


def _name(role: Declared) -> str:
    return str(role.at("name"))


def _role(program: Program, role: Declared) -> Iterator[str]:
    yield f"\n## `{_short(_name(role))}`\n\n"
    if description := role.at("description"):
        yield f"{description}. "
    yield f"Taken by {', '.join(_taken_by(role))}.\n\n| statement | may | on | if |\n| --- | --- | --- | --- |\n"
    for policy in program.beside(role, POLICY, "role"):
        for each in json.loads(policy.at("policy"))["Statement"]:
            cells = (
                ("**not** " if each["Effect"] == "Deny" else "") + _listed(listed(each["Action"])),
                _listed(sorted({_short(resource) for resource in listed(each["Resource"])})),
                _conditions(each.get("Condition", {})),
            )
            yield f"| {each['Sid']} | {' | '.join(cells)} |\n"
    yield from _grants(program, f"arn:aws:iam::{ACCOUNT}:role/{_name(role)}")


def _taken_by(role: Declared) -> Iterator[str]:
    """Whom the trust policy names, with the conditions on them."""
    for each in json.loads(role.at("assumeRolePolicy"))["Statement"]:
        if each["Effect"] == "Deny":
            yield "nobody whom the configuration does not name"
            continue
        conditions = _conditions(each.get("Condition", {}))
        for named in each["Principal"].values():
            yield _listed([_short(one) for one in listed(named)]) + (f" if {conditions}" if conditions else "")


def _grants(program: Program, principal: str) -> Iterator[str]:
    """What Lake Formation lets the role do, but for the teams' tables, which stand above."""
    found: dict[tuple[str, ...], set[str]] = {}
    for each in program.of(GRANT):
        if each.at("principal") == principal:
            found.setdefault(tuple(each.at("permissions")), set()).add(_granted(each))
    for permissions, places in sorted(found.items()):
        yield f"| Lake Formation | {_listed([*permissions])} | {_listed(sorted(places))} | |\n"


def _granted(grant: Declared) -> str:
    match next(name for name in ("database", "table", "tableWithColumns", "dataCellsFilter", "dataLocation")
               if grant.at(name)):  # fmt: skip
        case "database":
            return _short(grant.at("database", "name")) + ".*"
        case "dataLocation":
            return _short(grant.at("dataLocation", "arn"))
        case "dataCellsFilter":
            cells = grant.at("dataCellsFilter")
            return f"{_short(cells['databaseName'])}.{cells['tableName']}, as above"
        case "tableWithColumns":
            columns = grant.at("tableWithColumns")
            return f"{_short(columns['databaseName'])}.{columns['name']}, as above"
        case _:
            table = grant.at("table")
            return f"{_short(table['databaseName'])}.{table['name']}"


def _conditions(conditions: Mapping[str, Mapping[str, Any]]) -> str:
    return "; ".join(
        f"`{key}` {operator} {_listed([_short(str(value)) for value in listed(values)])}"
        for operator, pairs in sorted(conditions.items())
        for key, values in sorted(pairs.items())
    )


def _listed(texts: list[str]) -> str:
    return ", ".join(f"`{text}`" for text in texts)


def _short(text: str) -> str:
    """Without what differs from account to account and stack to stack."""
    for long, short in (
        (f"arn:aws:kms:{REGION}:{ACCOUNT}:key/keys-", "key of "),
        (f"-{ACCOUNT}-euc1", ""),
        ("arn:aws:s3:::", "s3://"),
        ("arn:aws:", ""),
        (ENVIRONMENT, "<name>"),
        (ENVIRONMENT.replace("-", "_"), "<name>"),
        (ACCOUNT, "<account>"),
        (REGION, "<region>"),
    ):
        text = text.replace(long, short)
    return text


def main() -> None:
    """Writes the page anew: look at the difference before you commit it."""
    with tempfile.TemporaryDirectory() as folder:
        put_package(Path(folder))
        os.environ[VARIABLE] = folder
        PAGE.write_text(page(load_contracts(CONTRACTS), whole_program()), encoding="utf-8")


if __name__ == "__main__":
    main()
