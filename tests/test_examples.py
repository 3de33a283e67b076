"""What docstrings show is what comes out."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest

import maskgraph
from maskgraph import testing
from maskgraph.graphs import augmentation, bipartite, source
from maskgraph.theory import answer, spectrum

SHOWN: dict[str, Any] = {
    "maskgraph": (maskgraph, maskgraph),
    "load_coded": (source, source.load_coded),
    "mask_graph": (bipartite, bipartite.mask_graph),
    "augmentation_graph": (augmentation, augmentation.augmentation_graph),
    "spectrum": (spectrum, spectrum.spectrum),
    "answer": (answer, answer.answer),
    "assert_holds": (testing, testing.assert_holds),
    "worlds": (testing, testing.worlds),
}
"""What has an example, in which module."""


@pytest.mark.parametrize("name", SHOWN)
def test_an_example_prints_what_it_shows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where hypothesis may leave its files.
    monkeypatch.chdir(tmp_path)
    module, thing = SHOWN[name]
    globs = {} if thing is module else vars(module).copy()
    [example] = doctest.DocTestFinder(recurse=False).find(thing, name, module, globs)
    assert example.examples
    result = doctest.DocTestRunner().run(example)
    assert result.failed == 0


def test_help_says_where_the_names_of_a_bound_live() -> None:
    text = maskgraph.__doc__ or ""
    for name in ("load_coded", "mask_set", "mask_graph", "augmentation_graph", "spectrum", "answer"):
        assert f"import {name}" in text or f", {name}" in text, name
