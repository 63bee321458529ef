"""No two modules need each other, at import or later: what one is built of can be read before it."""

from __future__ import annotations

import grimp


def cycles() -> list[list[str]]:
    """Groups of modules that lead to each other by imports, those inside functions included (Tarjan's algorithm)."""
    graph = grimp.build_graph("badnets", cache_dir=None)
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in sorted(graph.find_modules_directly_imported_by(module)):
            if other not in order:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], order[other])
        if low[module] == order[module]:
            group = [stack.pop()]
            while group[-1] != module:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(graph.modules):
        if module not in order:
            visit(module)
    return found


def test_there_is_no_import_circle() -> None:
    assert cycles() == []
