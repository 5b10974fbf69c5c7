"""When the assets of this location run: after the assets, of any location, that they are made of."""

import dagster as dg

_updated = dg.AutomationCondition.any_deps_updated()
_missing = dg.AutomationCondition.newly_missing()

# Two things differ from `AutomationCondition.eager()`: it looks only at the newest day, but here any day may be
# corrected; and it forgets an update that comes while the asset runs, here only a request after the update settles it.
_seen = dg.AutomationCondition.newly_requested() & ~_updated
_idle = ~dg.AutomationCondition.any_deps_in_progress() & ~dg.AutomationCondition.in_progress()

follow_updates = (_updated.since(_seen) & _idle).with_label("follow updates")
"""Run when something upstream was updated and nothing is running."""

follow_complete_days = (
    (_missing | _updated).since(_seen) & _idle & ~dg.AutomationCondition.any_deps_missing()
).with_label("follow complete days")
"""Run a day when everything upstream of that day is there, and whenever some of it is updated."""
