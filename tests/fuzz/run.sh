#!/bin/sh
# Runs libFuzzer on the targets named, or on all: run.sh BUILD SECONDS [NAME...]. Inputs that it finds stay in BUILD/corpus, findings in
# BUILD/findings; the first finding of a target ends that target, any finding fails the run.
set -eu
build=$1 seconds=$2
shift 2
[ $# -gt 0 ] || set -- $("$build/fuzz" -list)
for target in "$@"; do
	"$build/fuzz" -list | grep -qx "$target" || { echo "no target $target; there are: $("$build/fuzz" -list | tr '\n' ' ')" >&2; exit 2; }
done
failed=0
mkdir -p "$build/findings"
for target in "$@"; do
	mkdir -p "$build/corpus/$target"
	kept=tests/fuzz/corpus/$target
	[ -d "$kept" ] || kept=
	"$build/fuzz" -target="$target" -seeds="$build/corpus/$target" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=3000 \
		-print_final_stats=1 -artifact_prefix="$build/findings/$target-" "$build/corpus/$target" $kept \
		> "$build/$target.log" 2>&1 || { failed=1; echo "$target: a finding, see $build/$target.log"; }
	awk -v target="$target" '/ cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") cov = $(i + 1); if ($i == "corp:") corp = $(i + 1) } }
		/number_of_executed_units/ { runs = $2 }
		END { printf "%-12s %10d executions, coverage %d, corpus %s\n", target, runs, cov, corp }' "$build/$target.log"
done
exit $failed
