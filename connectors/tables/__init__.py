"""Sources and sinks of table formats, Delta, Iceberg and Lance, whose logs say which files belong to which version."""
