"""What is shown of each kind of result: a module for each, named as the kind, and for what several kinds say together.

A view turns Records into neutral tables, figures, sections and findings; it knows no renderer. Those of the page, in
its order, are VIEWS: each has section(records) -> Section, and findings(records) -> list of Finding, the weightiest
first.
"""

from kernelfit.report.views import (
    bench,
    descent,
    interpolants,
    measures,
    net,
    norms,
    pictures,
    randomize,
    ridge,
    section5,
    solve,
    sweep,
    table1,
)

VIEWS = (
    section5,
    sweep,
    norms,
    interpolants,
    ridge,
    measures,
    descent,
    solve,
    pictures,
    table1,
    net,
    randomize,
    bench,
)
