#!/bin/sh
# Runs one build of tests/ct under Valgrind on each tier that Valgrind knows (3.19: no AVX-512): run.sh PROGRAM [CASE...]. What memcheck reported is in
# PROGRAM.TIER.log and, where a case failed, on the screen; repeat with CT_VALGRIND="--track-origins=yes" to see where a value came from.
set -eu
program=$1
shift
for tier in portable avx2; do
	echo "$program, tier $tier:"
	# shellcheck disable=SC2086
	valgrind -q --error-limit=no --suppressions=tests/ct/libsodium.supp --log-file="$program.$tier.log" ${CT_VALGRIND:-} \
		"$program" --tier $tier "$@" || { cat "$program.$tier.log"; exit 1; }
done
