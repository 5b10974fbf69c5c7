"""When the assets of this location run: after the assets of other locations that they are made of."""

import dagster as dg

Condition = dg.AutomationCondition[dg.AssetKey]

_is_due: Condition = (
    dg.AutomationCondition.newly_missing() | dg.AutomationCondition.any_deps_updated()
).with_label("is due")

# Two things differ from `AutomationCondition.eager()`. It looks only at the newest day, but here any day may be corrected.
# And it forgets an update that comes while the asset is running; here only a request that saw the update settles it.
_seen: Condition = dg.AutomationCondition.newly_requested() & ~dg.AutomationCondition.any_deps_updated()
_idle: Condition = ~dg.AutomationCondition.any_deps_in_progress() & ~dg.AutomationCondition.in_progress()

follow_any_update: Condition = (_is_due.since(_seen) & _idle).with_label("follow any update")
"""Run when something upstream was updated and nothing is running."""

follow_complete_updates: Condition = (follow_any_update & ~dg.AutomationCondition.any_deps_missing()).with_label(
    "follow complete updates"
)
"""The same, once everything upstream is there: of the same day, for an asset by day."""
