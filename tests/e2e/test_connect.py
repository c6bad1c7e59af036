"""The race of connections by itself, without a proxy around it, in networks of its own."""
import subprocess
import sys

import pytest
from house import DEJUNK, TOP

PROBE = DEJUNK.parent / "tests" / "connect_probe"


@pytest.mark.parametrize("families", ["6", "4", "46"], ids=["v6-only", "v4-only", "both"])
def test_networks(families):
    script = TOP / "tests/e2e/netns_connect.py"
    try:
        done = subprocess.run(
            ["unshare", "-rn", sys.executable, str(script), str(PROBE), families], cwd=TOP,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=120, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if done.returncode == 77 or done.stdout.startswith("unshare:"):
        pytest.skip("no such network here: " + done.stdout)
    assert done.returncode == 0, done.stdout
