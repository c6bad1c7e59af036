"""The race of connections by itself, without a proxy around it, in networks of its own."""
import pytest
from house import DEJUNK

PROBE = DEJUNK.parent / "tests" / "connect_probe"


@pytest.mark.parametrize("families", ["6", "4", "46"], ids=["v6-only", "v4-only", "both"])
def test_networks(in_own_network, families):
    in_own_network("netns_connect.py", PROBE, families)
