"""What each team sees, declared: a module per team with its cards and charts. To add a chart, add a Panel there."""

from local.dashboard.teams.finance import FINANCE_TEAM
from local.dashboard.teams.marketing import MARKETING_TEAM
from local.dashboard.teams.operations import OPERATIONS_TEAM
from local.dashboard.teams.sales import SALES_TEAM
from local.dashboard.teams.support import SUPPORT_TEAM

TEAMS = (SALES_TEAM, FINANCE_TEAM, MARKETING_TEAM, SUPPORT_TEAM, OPERATIONS_TEAM)
