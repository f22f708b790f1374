#!/bin/sh
# What memcheck cannot see, read from the machine code of the modules that handle secrets: instructions.sh BUILD.
#
#   div       Division by a variable (compilers turn constants into products) takes a time that depends on the operands.
#   transfer  In files with AVX-512, which Valgrind does not run: vectors or masks reach flags, addresses or, masks, general registers. Vector arithmetic itself
#             cannot branch; this is where the outcome of a comparison could. (Single words that leave a vector by vmovq are not listed: compilers keep
#             pointers there.)
#
# Fails on every function with such an instruction that tests/ct/instructions.txt does not name, with the reason why that is fine.
set -eu
build=$1
bad=0
for object in "$build"/lib/*.o "$build"/ring/*.o "$build"/bfv/*.o "$build"/ot/*.o "$build"/garble/*.o "$build"/nn/secure/*.o; do
	name=${object#"$build"/}
	name=${name%.o}
	for found in $(objdump -d --no-show-raw-insn "$object" | awk '
		/^[0-9a-f]+ <.*>:$/ { f = $2; gsub(/[<>:]/, "", f); sub(/\.(isra|part|constprop|cold|llvm).*/, "", f) }
		/%zmm|%k[0-7]/ { wide = 1 }
		/\t(i?div[bwlq]?|v?div[sp][sd])[ \t]/ || /call.*<__(u|)(div|mod|divmod)[dt]i[34]/ { seen[f " div"] = 1 }
		/\t(v?ptest|v?testp[sd]|kortest[bwdq]|ktest[bwdq]|v?p?movmsk(b|ps|pd)|v?p?(gather|scatter)[dq]+)[ \t]/ ||
		/\tkmov[bwdq] +%k[0-7],%[re]/ { seen[f " transfer"] = 1 }
		END { for (x in seen) if (wide || x ~ /div$/) { gsub(/ /, ":", x); print x } }'); do
		function=${found%:*}
		kind=${found##*:}
		grep -q "^$name $function $kind " tests/ct/instructions.txt || {
			echo "$name $function: $kind; if every operand is public, or its fate harmless, tests/ct/instructions.txt wants a line that says why" >&2
			bad=1
		}
	done
done
exit $bad
