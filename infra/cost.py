"""What the estate may cost: a monthly budget over everything that carries its tags, and mails before it is spent."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.alarms import link
from infra.estate import Estate
from infra.monitoring import Monitoring

RUNBOOK = "budget"
# Percent of the budget: spent, or foreseen to be spent by the end of the month.
SPENT, FORESEEN = (50, 80, 100), (100,)


@dataclass(frozen=True)
class CostArgs:
    """Whose costs, and who is told."""

    estate: Estate
    monitoring: Monitoring


class Cost(pulumi.ComponentResource):
    """A budget in USD a month over this environment, with alerts at 50, 80 and 100 % and when the forecast is above.

    It sees costs by the tag `environment`, which an administrator activates once under "Cost allocation tags" (see
    docs/deploy.md); until then it sees nothing. A mail of AWS Budgets has a text of its own, to which nothing can be
    added: the budget that it names has the link to its page as a tag. A budget without actions costs nothing.
    """

    def __init__(self, name: str, args: CostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Cost", name, None, opts)
        config = args.estate.config
        aws.budgets.Budget(
            f"{name}-monthly",
            name=args.estate.global_name("monthly"),
            budget_type="COST",
            limit_amount=str(config.monthly_budget_usd),
            limit_unit="USD",
            time_unit="MONTHLY",
            cost_filters=[
                aws.budgets.BudgetCostFilterArgs(name="TagKeyValue", values=[f"user:environment${config.environment}"])
            ],
            notifications=[
                *(_alert("ACTUAL", percent, args.monitoring.topic_arn) for percent in SPENT),
                *(_alert("FORECASTED", percent, args.monitoring.topic_arn) for percent in FORESEEN),
            ],
            tags={"runbook": link(config.runbooks_url, RUNBOOK)},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.monitoring]),
        )
        self.register_outputs({})


def _alert(kind: str, percent: int, topic_arn: pulumi.Input[str]) -> aws.budgets.BudgetNotificationArgs:
    return aws.budgets.BudgetNotificationArgs(
        comparison_operator="GREATER_THAN",
        notification_type=kind,
        threshold=percent,
        threshold_type="PERCENTAGE",
        subscriber_sns_topic_arns=[topic_arn],
    )
