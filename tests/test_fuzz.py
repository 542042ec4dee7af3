"""The first inputs of the quick targets of `fuzz.py`: undamaged they are read, damaged they give no finding."""

import pytest
from fuzz_child import outcome
from fuzz_targets import LAYOUTS, TARGETS

pytestmark = pytest.mark.once

SHARDS = ("shard-tfrecord", "shard-facts")
QUICK = [name for name in TARGETS if name.startswith(("audio-", "data-")) or name in SHARDS]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_undamaged_tables_are_read(tmp_path, layout):
    LAYOUTS[layout].prepare(tmp_path)
    LAYOUTS[layout].read(tmp_path)


@pytest.mark.parametrize("name", QUICK)
def test_no_findings(tmp_path, name):
    target = TARGETS[name]()
    target.name = name
    if name.startswith("audio-") and not target.seeds:
        pytest.skip("libsndfile writes no such file here")
    target.prepare(tmp_path)
    assert {outcome(target, number, 1, tmp_path) for number in range(15)} <= {("read", ""), ("refused", "")}
