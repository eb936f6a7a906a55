"""Optuna's tables as far as we read them ourselves: importing Optuna takes longer than any command that only reads."""

from __future__ import annotations

import sqlalchemy as sa

STUDIES = sa.table("studies", sa.column("study_id"), sa.column("study_name"))
STUDY_ATTRIBUTES = sa.table("study_user_attributes", sa.column("study_id"), sa.column("key"), sa.column("value_json"))
TRIALS = sa.table(
    "trials", sa.column("trial_id"), sa.column("study_id"), sa.column("number"), sa.column("state", sa.String)
)
VALUES = sa.table(
    "trial_values",
    sa.column("trial_id"),
    sa.column("objective"),
    sa.column("value"),
    sa.column("value_type", sa.String),
)
PARAMS = sa.table(
    "trial_params",
    sa.column("param_id"),
    sa.column("trial_id"),
    sa.column("param_name"),
    sa.column("param_value"),
    sa.column("distribution_json"),
)
REPORTS = sa.table(
    "trial_intermediate_values", sa.column("trial_id"), sa.column("step"), sa.column("intermediate_value")
)
TRIAL_ATTRIBUTES = sa.table("trial_user_attributes", sa.column("trial_id"), sa.column("key"), sa.column("value_json"))
SYSTEM_ATTRIBUTES = sa.table(
    "trial_system_attributes", sa.column("trial_id"), sa.column("key"), sa.column("value_json")
)
