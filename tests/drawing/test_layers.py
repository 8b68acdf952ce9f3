"""Where nodes stand in a drawing: below what they need, apart from each other, the same each time."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.drawing.layers import Layout, laid_out

Graph = tuple[list[tuple[float, float]], list[tuple[int, int]]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    sizes = draw(st.lists(st.tuples(st.floats(20, 300), st.sampled_from([34.0, 46.0])), max_size=24))
    pairs = list(combinations(range(len(sizes)), 2))
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=40)) if pairs else []
    return sizes, sorted(edges)


def boxes(graph: Graph, layout: Layout) -> list[tuple[float, float, float, float]]:
    return [
        (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        for (x, y), (width, height) in zip(layout.places, graph[0], strict=True)
    ]


@given(graphs())
def test_each_edge_leads_down_and_ends_at_its_nodes(graph: Graph) -> None:
    sizes, edges = graph
    layout = laid_out(sizes, edges)
    for (start, end), path in zip(edges, layout.paths, strict=True):
        assert all(above[1] < below[1] for above, below in pairwise(path))
        assert path[0] == (layout.places[start][0], layout.places[start][1] + sizes[start][1] / 2)
        assert path[-1] == (layout.places[end][0], layout.places[end][1] - sizes[end][1] / 2)


@given(graphs())
def test_no_two_nodes_touch_and_all_are_within_the_picture(graph: Graph) -> None:
    layout = laid_out(*graph)
    found = boxes(graph, layout)
    for left, top, right, bottom in found:
        assert left >= -1e-6
        assert top >= -1e-6
        assert right <= layout.width + 1e-6
        assert bottom <= layout.height + 1e-6
    for (left, top, right, bottom), (left2, top2, right2, bottom2) in combinations(found, 2):
        apart = left >= right2 + 20 or left2 >= right + 20 or top >= bottom2 + 20 or top2 >= bottom + 20
        assert apart


@given(graphs())
def test_the_same_graph_is_laid_out_the_same(graph: Graph) -> None:
    assert laid_out(*graph) == laid_out(*graph)


def test_a_chain_is_straight_and_a_tree_stands_below_its_root() -> None:
    box = (100.0, 34.0)
    chain = laid_out([box] * 4, [(0, 1), (1, 2), (2, 3)])
    assert {x for x, _ in chain.places} == {50.0}
    tree = laid_out([box] * 4, [(0, 1), (0, 2), (0, 3)])
    root, left, middle, right = (x for x, _ in tree.places)
    assert left < middle < right
    assert root == pytest.approx(middle)


def test_edges_that_can_be_drawn_without_crossing_do_not_cross() -> None:
    box = (60.0, 34.0)
    # Given such that the order of calls would cross each of them.
    layout = laid_out([box] * 6, [(0, 5), (1, 4), (2, 3)])
    tops = [layout.places[place][0] for place in (0, 1, 2)]
    bottoms = [layout.places[place][0] for place in (5, 4, 3)]
    assert sorted(range(3), key=tops.__getitem__) == sorted(range(3), key=bottoms.__getitem__)


def test_nodes_that_are_tied_to_nothing_stand_in_a_block_not_in_one_endless_row() -> None:
    layout = laid_out([(100.0, 34.0)] * 30, [])
    assert layout.width < 1000
    assert len({y for _, y in layout.places}) == 5


def test_a_graph_without_nodes() -> None:
    assert laid_out([], []) == Layout(0.0, 0.0, [], [])


def test_the_largest_drawing_takes_no_more_than_seconds() -> None:
    count = 1000
    edges = [(start, end) for end in range(1, count) for start in {end // 2, end - 1}]
    assert len(laid_out([(100.0, 34.0)] * count, sorted(edges)).places) == count
