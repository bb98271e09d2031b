"""Which version of a pool is the active one."""

from modelpool.core.policies.base import ActivationPolicy, Candidate, Mode
from modelpool.core.policies.best_metric import BestMetric
from modelpool.core.policies.latest import Latest
from modelpool.core.policies.metric_modes import metric_mode, metric_value
from modelpool.core.policies.parse import DEFAULT_POLICY, POLICY_NAMES, parse_policy
from modelpool.core.policies.pinned import Pinned

__all__ = [
    "DEFAULT_POLICY",
    "POLICY_NAMES",
    "ActivationPolicy",
    "BestMetric",
    "Candidate",
    "Latest",
    "Mode",
    "Pinned",
    "metric_mode",
    "metric_value",
    "parse_policy",
]
