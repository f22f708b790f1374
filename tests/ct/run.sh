#!/bin/sh
# Runs one build of tests/ct under Valgrind on each tier that Valgrind knows (3.19: no AVX-512), both at once: run.sh PROGRAM [CASE...]. What memcheck reported is in
# PROGRAM.TIER.log and, where a case failed, on the screen; repeat with CT_VALGRIND="--track-origins=yes" to see where a value came from.
set -u
program=$1
shift
tiers="portable avx2"
for tier in $tiers; do
	# shellcheck disable=SC2086
	valgrind -q --error-limit=no --suppressions=tests/ct/libsodium.supp --log-file="$program.$tier.log" ${CT_VALGRIND:-} \
		"$program" --tier $tier "$@" >"$program.$tier.out" 2>&1 && echo good >"$program.$tier.out.good" &
done
wait
bad=0
for tier in $tiers; do
	echo "$program, tier $tier:"
	cat "$program.$tier.out"
	rm "$program.$tier.out.good" 2>/dev/null || {
		cat "$program.$tier.log"
		bad=1
	}
	rm -f "$program.$tier.out"
done
exit $bad
