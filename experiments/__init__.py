"""One file for each claim: each prints PASS or FAIL with its figure."""
