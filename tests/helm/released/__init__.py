"""The last release of the charts: values that it took, and what cannot be changed of the objects that it made."""
