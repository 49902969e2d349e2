"""Croissant's own reader, on the card of a dataset.
Usage: python croissant.py URL   -> one line of JSON"""
import json
import sys

import mlcroissant

dataset = mlcroissant.Dataset(sys.argv[1])
metadata = dataset.metadata
issues = metadata.ctx.issues
print(
    json.dumps(
        {
            "errors": sorted(issues.errors),
            "warnings": sorted(issues.warnings),
            "name": metadata.name,
            "licence": metadata.license,
            "conforms": str(metadata.conforms_to),
            "sha256": [file.sha256 for file in metadata.distribution],
            "fields": [field.id for records in metadata.record_sets for field in records.fields],
        }
    )
)
