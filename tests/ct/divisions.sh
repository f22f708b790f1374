#!/bin/sh
# Division takes a time that depends on the operands, and memcheck does not see it: divisions.sh BUILD lists every function of the code that handles secrets whose
# machine code divides (by a variable: compilers turn constants into products), and fails on those that tests/ct/divisions.txt does not name with a reason.
set -eu
build=$1
bad=0
for object in "$build"/lib/*.o "$build"/ring/*.o "$build"/bfv/*.o "$build"/ot/*.o "$build"/garble/*.o "$build"/nn/secure/*.o; do
	name=${object#"$build"/}
	for function in $(objdump -d --no-show-raw-insn "$object" | awk '
		/^[0-9a-f]+ <.*>:$/ { f = $2; gsub(/[<>:]/, "", f); sub(/\.(isra|part|constprop|cold|llvm).*/, "", f) }
		/\t(i?div[bwlq]?|v?div[sp][sd])[ \t]/ || /call.*<__(u|)(div|mod|divmod)[dt]i[34]/ { seen[f] = 1 }
		END { for (f in seen) print f }'); do
		grep -q "^${name%.o} $function " tests/ct/divisions.txt || {
			echo "${name%.o} $function: divides; is every operand public? tests/ct/divisions.txt wants a line that says why" >&2
			bad=1
		}
	done
done
exit $bad
