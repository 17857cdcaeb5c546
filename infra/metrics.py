"""The jobs' own metrics in CloudWatch: in which namespace, and the right to send them."""

from infra.documents import Statement, statement
from infra.estate import Estate

# What jobs find the namespace in; `runtime/metrics.py` reads it.
VARIABLE = "LAKEHOUSE_METRICS_NAMESPACE"


def namespace(estate: Estate) -> str:
    """The namespace of this environment's metrics; jobs are told in `VARIABLE`."""
    return f"Lakehouse/{estate.config.environment}"


def may_publish(estate: Estate) -> Statement:
    """The right to send metrics, for a job's role. The service knows no resources: the namespace confines it."""
    confined = {"StringEquals": {"cloudwatch:namespace": namespace(estate)}}
    return statement("PublishMetrics", ["cloudwatch:PutMetricData"], ["*"], conditions=confined)
