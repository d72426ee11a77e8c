#!/bin/sh
# Reads the output of test runs (cargo test, cargo nextest, tests/vm.sh), lists which tests were skipped and why and which
# were flaky, and prints the sums in the last line. Lines `=== make TARGET` say which host the output after them is
# from. Fails when a test was skipped on this host and not run in the virtual machine either.
[ $# -eq 0 ] || { echo "usage: tests/summary.sh <OUTPUT" >&2; exit 2; }
awk '
    BEGIN {
        host = "this host"
        # These run elsewhere: `make soak`.
        elsewhere["soak::soak_many_cycles"]
    }
    /^=== make / { host = $3 == "test-vm" ? "virtual machine" : "this host"; seen[host] }
    # cargo test: "test result: ok. 12 passed; 0 failed; ..."; nextest shows the indented output of a failed test.
    /^test result: [a-zA-Z]+\. [0-9]+ passed; [0-9]+ failed/ { passed += $4; failed += $6 }
    # cargo nextest: "Summary [   1.2s] 30 tests run: 28 passed (1 flaky), 2 failed, 1 skipped"
    match($0, /^ *Summary \[.*\] .*tests? run: .*/) {
        text = substr($0, RSTART, RLENGTH)
        if (match(text, /[0-9]+ passed/)) passed += substr(text, RSTART, RLENGTH)
        if (match(text, /[0-9]+ failed/)) failed += substr(text, RSTART, RLENGTH)
        if (match(text, /[0-9]+ timed out/)) failed += substr(text, RSTART, RLENGTH)
    }
    # A test that failed in the virtual machine counts by its second run.
    /^vm: [0-9]+ failed tests run again/ { failed -= $2 }
    # cargo nextest: "FLAKY 2/2 [   0.029s] (1/3) tests::e2e pods::a_pod_runs"; tests/vm.sh: "FLAKY pods::a_pod_runs"
    $1 == "FLAKY" && !((host, $NF) in flaky) { flaky[host, $NF]; flakies[++flaky_count] = $NF " (" host ")" }
    # The test itself: "SKIP pods::a_pod_runs: it needs this and that"
    $1 == "SKIP" {
        name = $2; sub(/:$/, "", name)
        if (!((host, name) in skipped)) {
            skipped[host, name]; skips[++skip_count] = $0 " (" host ")"
            if (host == "this host") here[name]
        }
    }
    $1 == "test" && $3 == "..." && $4 == "ok" { ran[host, $2] }
    END {
        for (i = 1; i <= skip_count; i++) print skips[i]
        for (i = 1; i <= flaky_count; i++) print "FLAKY " flakies[i]
        if ("this host" in seen && "virtual machine" in seen) for (name in here) {
            if (name in elsewhere) continue
            if (("virtual machine", name) in ran && !(("virtual machine", name) in skipped)) continue
            print "SKIPPED EVERYWHERE " name; code = 1
        }
        printf "%d flaky\n%d passed, %d failed, %d skipped\n", flaky_count, passed - skip_count, failed, skip_count
        exit code
    }
'
