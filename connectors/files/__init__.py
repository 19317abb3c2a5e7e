"""Sources and sinks of files: text, CSV, JSON lines, Parquet, Arrow, archives.

On disks and, through `connectors.object_store`, in stores.
"""
