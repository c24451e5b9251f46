"""Every rule that a problem can name, each with what it asks for; stable, for they end up in other tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

RULES: Final[Mapping[str, str]] = {
    "ambiguous-step": "A step must have one meaning in its scenario.",
    "bad-cell": "A cell must hold a value of its column's kind.",
    "bad-manifest": "A manifest must be YAML that holds PerfFeatures.",
    "bad-number": "A number must lie in the range that makes sense for it.",
    "bad-quantity": "A quantity is a finite number with a unit.",
    "bad-tag-expression": "A tag expression joins tags by and, or, not and brackets.",
    "bad-value": "A value must be one that the step knows.",
    "duplicate-column": "A column stands once in a table.",
    "duplicate-row": "A name is defined once in a table.",
    "empty": "A feature holds 'Feature:' with a name and at least one scenario.",
    "empty-examples": "Examples need at least one row, or nothing is verified.",
    "empty-table": "A step's table needs at least one row.",
    "impossible-limit": "A limit must be one that can be both met and missed.",
    "long-step": "A step has at most 1024 characters.",
    "missing-column": "A table has every column that its step needs.",
    "missing-step": "A scenario says everything that its measurement needs.",
    "missing-table": "A step that ends in a colon is followed by its table.",
    "mixed-capabilities": "The steps of a scenario belong together.",
    "no-claim": "A scenario states at least one limit in a Then step.",
    "no-increase": "Traffic that increases grows by more than nothing.",
    "no-scenario": "A feature has at least one scenario.",
    "not-utf-8": "A feature file is UTF-8.",
    "nothing-selected": "A tag expression selects at least one scenario.",
    "repeated-step": "A scenario states each of its inputs once.",
    "syntax": "A feature file is Gherkin.",
    "too-large": "A feature fits into a Kubernetes object.",
    "too-many-failures": "Fewer nodes fail than there are.",
    "undefined-step": "A step is one that some capability, or a named metric of the target, gives a meaning.",
    "unexpected-doc-string": "A doc string follows only a step that takes one.",
    "unexpected-table": "A table follows only a step that takes one.",
    "unknown-column": "A table has only columns that its step knows.",
    "unknown-model-size": "A model size is defined by the table of model configurations.",
    "unknown-placeholder": "Every placeholder has a column in the Examples.",
    "unknown-profile": "A workload profile is defined by the table of profiles.",
    "unknown-unit": "A unit is one that perfrun knows.",
    "unknown-value": "A cell holds one of its column's known names.",
    "wrong-dimension": "A limit is of its subject's kind: a time, a size, a rate, a percentage.",
    "wrong-keyword": "Given sets the scene, When acts, Then claims.",
    "wrong-reference": "A limit that is relative says to what.",
}
