#!/bin/sh
# Reads the output of test runs (cargo test, cargo nextest) and prints what they sum up to.
[ $# -eq 0 ] || { echo "usage: tests/summary.sh <OUTPUT" >&2; exit 2; }
awk '
    # cargo test: "test result: ok. 12 passed; 0 failed; ..."
    match($0, /test result: [a-zA-Z]+\. [0-9]+ passed; [0-9]+ failed/) {
        split(substr($0, RSTART, RLENGTH), words, " ")
        passed += words[4]; failed += words[6]
    }
    # cargo nextest: "Summary [   1.2s] 30 tests run: 28 passed, 2 failed, 1 skipped"
    match($0, /Summary \[.*\] .*tests? run: .*/) {
        text = substr($0, RSTART, RLENGTH)
        if (match(text, /[0-9]+ passed/)) passed += substr(text, RSTART, RLENGTH)
        if (match(text, /[0-9]+ failed/)) failed += substr(text, RSTART, RLENGTH)
        if (match(text, /[0-9]+ flaky/)) flaky += substr(text, RSTART, RLENGTH)
        if (match(text, /[0-9]+ timed out/)) failed += substr(text, RSTART, RLENGTH)
    }
    # What failed in the machine and is run again there counts by its second run.
    match($0, /vm: [0-9]+ that failed run again/) { split(substr($0, RSTART, RLENGTH), words, " "); failed -= words[2]; again += words[2] }
    END { printf "%d passed, %d failed, %d flaky\n", passed, failed, flaky + again }
'
