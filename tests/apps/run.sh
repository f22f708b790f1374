#!/bin/sh
# The program as a user meets it. Usage: run.sh PROGRAM, from the top of the source tree. One line per check that fails; exit code 1 then.
set -u
sotto=$1
model=apps/demo/fashion
image=apps/demo/images-fashion/00-ankle-boot.pgm
work=$(mktemp -d)
server=
failed=0
checks=0
trap 'test -z "$server" || kill $server 2>/dev/null; rm -rf "$work"' EXIT

# expect CODE PATTERN COMMAND...: the exit code, and a pattern in what it prints (both streams).
expect() {
	code=$1 pattern=$2
	shift 2
	checks=$((checks + 1))
	"$@" >"$work/out" 2>&1 </dev/null
	got=$?
	if [ $got -ne "$code" ] || ! grep -q -- "$pattern" "$work/out"; then
		echo "FAILED: $* -> exit $got (expected $code), no '$pattern' in:"
		sed 's/^/    /' "$work/out" | head -5
		failed=1
	fi
}

start_server() { # PREFIX [options]: sets server and port
	: >"$work/server"
	"$sotto" serve "$@" --port 0 >"$work/server" 2>"$work/log" &
	server=$!
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		port=$(sed -n 's/.* port //p' "$work/server")
		test -z "$port" || return 0
		sleep 0.5
	done
	echo "FAILED: the server does not start"
	cat "$work/log"
	exit 1
}

# ---- help and mistakes
expect 0 'exit codes\|Exit codes' "$sotto" --help
expect 0 '^sotto [0-9].*protocol [0-9]' "$sotto" --version
expect 2 'unknown command' "$sotto" fly
expect 2 'did you mean quantise' "$sotto" quantize
expect 2 'sotto COMMAND' "$sotto"
for command in train quantise import export inspect plan eval serve infer demo bench; do
	expect 0 "^sotto $command" "$sotto" $command --help
	expect 0 "^sotto $command" "$sotto" help $command
	# Lines fit a terminal.
	expect 0 '^none$' sh -c "'$sotto' $command --help | grep -E '.{112}' || echo none"
	expect 2 'unknown option --colour' "$sotto" $command --colour
done
expect 0 'softspoken8' "$sotto" infer --help
expect 2 'two dashes' "$sotto" infer -p 7700 model image
expect 2 'did you mean --epochs' "$sotto" train --epoch 3
expect 2 'whole number from 1' "$sotto" train --epochs 0
expect 2 'needs a value' "$sotto" train --out
expect 2 'give --out' "$sotto" train
expect 1 'nothing can be saved there' "$sotto" train --arch apps/demo/fashion.arch --out "$work/none/x"
expect 2 'go together' "$sotto" train --arch apps/demo/fashion.arch --out "$work/x" --steps 3,5
expect 2 'expected up to' "$sotto" train --arch apps/demo/fashion.arch --out "$work/x" --schedule step --steps 3,x
expect 2 'out PREFIX is missing' "$sotto" import "$work/none.onnx"
expect 1 'check the path' "$sotto" import "$work/none.onnx" --out "$work/x"
expect 1 'no ONNX model' "$sotto" import $model.sotto --out "$work/x"
expect 0 'written' "$sotto" export $model --out "$work/fashion.onnx"
expect 1 'expected one number, or 1' "$sotto" import "$work/fashion.onnx" --out "$work/onnx" --mean 1,2
expect 0 '^onnx: input 1x28x28, 10 outputs' "$sotto" import "$work/fashion.onnx" --out "$work/onnx"
expect 0 'mean 0.286 and std 0.353' "$sotto" import "$work/fashion.onnx" --out "$work/onnx.sotto"
expect 1 'another number of classes' "$sotto" import "$work/fashion.onnx" --out "$work/other" --labels cifar100
expect 1 'nor a data set of that name' "$sotto" import "$work/fashion.onnx" --out "$work/other" --labels nowhere
expect 0 '"name": "x"' "$sotto" import "$work/fashion.onnx" --out "$work/named" --labels fashion --name x --json
expect 0 '^label Ankle boot$' cat "$work/named.sotto"
expect 1 'has no plan.*sotto quantise' "$sotto" inspect "$work/onnx"
"$sotto" eval $model --float --count 200 >"$work/before"
expect 0 "$(cat "$work/before")" "$sotto" eval "$work/onnx" --float --count 200
expect 2 'missing argument' "$sotto" inspect
expect 2 'too many' "$sotto" inspect a b
expect 2 'one of .*lookup|circuit' "$sotto" infer $model.sotto $image --sign magic
expect 2 'unknown group' "$sotto" bench nothing
expect 2 'tiers up to' "$sotto" bench ring --tier quantum
expect 2 'expected loopback, lan, wan or BANDWIDTH,RTT' "$sotto" bench model --net moon
expect 2 'come together' "$sotto" bench model --arch lenet
expect 1 'neither a file' "$sotto" bench model --arch "nothing" --random-weights
expect 1 'expected HxW:IN:OUT:KERNEL' "$sotto" bench layer --conv 3x3
expect 0 '"shape": "8x8:4:6:3:2:1"' "$sotto" bench layer --conv 8x8:4:6:3:2 --runs 1 --json
expect 0 'net=500Mbit,2ms' "$sotto" bench layer --conv 8x8:4:6:3 --runs 1 --net 500Mbit,2ms
expect 0 '"name": "memory.server"' "$sotto" bench model --runs 1 --net lan --json
expect 0 'weights=random' "$sotto" bench model --arch lenet --random-weights --runs 1
expect 0 '"name": "slope.infer.bytes", "unit": "B/ReLU"' "$sotto" bench growth --runs 1 --only infer.bytes --json
# Interrupted while it plans, saves or runs: nothing is left behind.
mkdir "$work/tmp"
for seconds in 0.05 0.2 0.4 1.5; do
	TMPDIR="$work/tmp" timeout -s INT $seconds "$sotto" bench model --arch lenet --random-weights --runs 1000 >/dev/null 2>&1
done
TMPDIR="$work/tmp" timeout -s TERM 1.5 "$sotto" bench growth --runs 1000 >/dev/null 2>&1
sleep 1
checks=$((checks + 1))
left=$(ls -A "$work/tmp")
test -z "$left" || {
	echo "FAILED: sotto bench, interrupted, left $left"
	failed=1
}

# ---- files
expect 1 'nowhere.sotto: No such file' "$sotto" inspect nowhere.sotto
expect 1 'nowhere.sotto: No such file' "$sotto" serve nowhere
expect 1 'data set .moon' "$sotto" eval $model --data moon
expect 1 'cifar.html.*SOTTO_DATA' env -u SOTTO_DATA "$sotto" eval $model --data cifar10
expect 1 'none/cifar-100-binary/test.bin: No such file.*cifar.html' env SOTTO_DATA="$work/none" "$sotto" eval $model --data cifar100
expect 1 'none/t10k-images.*test images of mnist are missing' "$sotto" eval $model --data "mnist:$work/none"
expect 1 'none/t10k-images.*dataset-fashion-mnist' "$sotto" eval $model --data "fashion:$work/none"
expect 1 'neither a file nor one of those.*resnet20.*squeezenet' "$sotto" train --arch lennet --out "$work/x"
head -c 500 $model.sotto >"$work/cut.sotto"
expect 1 'cut off' "$sotto" inspect "$work/cut.sotto"
sed 's/ bits=9/ bits=8/' $model.sotto >"$work/edited.sotto"
expect 1 'damaged or was edited' "$sotto" inspect "$work/edited.sotto"
printf 'precious\n' >"$work/mine"
expect 1 'holds no costs' "$sotto" plan $model --costs "$work/mine"
expect 2 'takes 2 bits at least' "$sotto" quantise $model --out "$work/x" --sign-bits 1
sed 's/he=4096:46,46/he=2048:54/; /^id/d; /^checksum/d' $model.sotto >"$work/weak.sotto"
expect 1 'plan does not hold' "$sotto" inspect "$work/weak.sotto"
sed 's/he=4096:46,46/he=4096:60,60/; /^id/d; /^checksum/d' $model.sotto >"$work/insecure.sotto"
expect 1 '128' "$sotto" inspect "$work/insecure.sotto"
cp $model.sotto "$work/torn.sotto"
head -c 1000 $model.weights >"$work/torn.weights"
expect 1 'torn.weights: .*cut off' "$sotto" serve "$work/torn" --port 0
expect 0 'security' "$sotto" inspect $model.sotto
expect 0 'security' "$sotto" inspect $model
# Line ends of another system, in a copy or in what somebody wrote.
sed 's/$/\r/' $model.sotto >"$work/returns.sotto"
cp $model.weights "$work/returns.weights"
expect 0 'security' "$sotto" inspect "$work/returns"
expect 0 '"equals_reference": true' "$sotto" demo "$work/returns" --images apps/demo/images-fashion --count 1 --json
# What cannot be done is said before the work, not after it.
expect 1 'gnuplot-nox' env PATH=/nowhere "$sotto" bench growth --plot "$work/x.svg"
expect 1 'gnuplot-nox' env PATH=/nowhere "$sotto" train --arch apps/demo/fashion.arch --out "$work/x" --plot "$work/x.svg"
expect 0 '"security_bits": 128' "$sotto" inspect $model.sotto --json
expect 2 'expected loopback' "$sotto" plan $model --net fast
expect 1 'nowhere.sotto: No such file' "$sotto" plan nowhere --costs "$work/costs"
expect 0 'bytes as predicted' "$sotto" plan $model --costs "$work/costs" --check --runs 1
expect 0 'from .*costs; --measure' "$sotto" plan $model --costs "$work/costs" --net wan --goal prepare --out "$work/planned"
expect 0 '"tile": ' "$sotto" plan "$work/planned" --costs "$work/costs" --json --sign circuit
expect 0 'tile=' cat "$work/planned.sotto"
expect 0 '"equals_reference": true' "$sotto" demo "$work/planned" --images apps/demo/images-fashion --count 1 --json
expect 1 'lookup takes' "$sotto" plan $model --costs "$work/costs" --sign lookup --sign-bits 12
if command -v python3 >/dev/null; then
	"$sotto" inspect $model.sotto --json >"$work/json" && expect 0 '' python3 -m json.tool "$work/json"
fi
# A full disk, by a limit on the size of files: an error, and what was there before is whole.
if [ -e /usr/share/datasets/fashion-mnist ]; then
	expect 0 'written' "$sotto" quantise $model --out "$work/copy" --calibrate 4 --count 4
	cp "$work/copy.sotto" "$work/before"
	expect 1 'make room' sh -c "trap '' XFSZ; ulimit -f 8; exec '$sotto' quantise $model --out '$work/copy' --calibrate 4 --count 4"
	expect 0 'unchanged' sh -c "cmp '$work/copy.sotto' '$work/before' && echo unchanged"
	sed '/^plan/d; /^id/d; /^checksum/d; s/1x28x28/1x64x64/' apps/demo/fashion.arch >"$work/big.arch"
	expect 1 'images of 1x28x28, but the model' "$sotto" train --arch "$work/big.arch" --out "$work/big"
	head -c 1000 $model.weights >"$work/state"
	expect 1 'state: no checkpoint' "$sotto" train --arch apps/demo/fashion.arch --out "$work/x" --resume "$work/state"
	expect 0 'of 200 images' "$sotto" eval $model --fixed --count 200
	expect 0 '^shares: .* of 200 images; 9.*predict as plain' "$sotto" eval $model.sotto --shares --count 200
	expect 0 '"shares_agree_with_fixed": [01]' "$sotto" eval $model --fixed --shares --count 50 --json
	cat >"$work/halves.arch" <<-'END'
		sotto-model 1
		input 1x28x28 mean=0.3 std=0.35
		conv c input out=2 kernel=5 stride=4
		relu r c
		avgpool v r kernel=3 stride=1 pad=1
		add a r v
		dense f a out=10
	END
	expect 1 'is not trained: node a: the scales' "$sotto" train --arch "$work/halves.arch" --out "$work/x" --epochs 1
	expect 0 '^none$' sh -c "ls '$work'/x.* 2>/dev/null || echo none"
	grep -v '^a[dv]' "$work/halves.arch" | sed 's/dense f a/dense f r/; s/$/\r/' >"$work/small.arch"
	expect 0 '"fixed_accuracy": 0' "$sotto" train --arch "$work/small.arch" --out "$work/small" --epochs 1 --batch 512 --calibrate 20 --json
	expect 0 'weights before rounding' "$sotto" train --init "$work/small" --qat --weight-bits 4 --out "$work/small4" --epochs 1 --batch 512 --calibrate 20
	# A checkpoint that cannot be written does not end the training.
	mkdir "$work/full"
	expect 0 'training goes on.*when it is due' "$sotto" train --arch "$work/small.arch" --out "$work/x" --epochs 2 --batch 512 --calibrate 20 --checkpoint "$work/full"
	if command -v gnuplot >/dev/null; then
		expect 0 'written' "$sotto" train --arch "$work/small.arch" --out "$work/x" --epochs 1 --batch 512 --calibrate 20 --plot "$work/x.svg"
		expect 0 '</svg>' tail -n 2 "$work/x.svg"
		cp "$work/x.svg" "$work/before"
		expect 0 'x.svg.*make room' sh -c "trap '' XFSZ; ulimit -f 24; exec '$sotto' train --arch '$work/small.arch' --out '$work/x' --epochs 1 --batch 512 --calibrate 20 --plot '$work/x.svg'"
		expect 0 'unchanged' sh -c "cmp '$work/x.svg' '$work/before' && echo unchanged"
	fi
	expect 0 '3 equal the reference' "$sotto" eval $model --private 3
fi

# ---- client and server
start_server $model --timeout 2
expect 0 'Ankle boot' "$sotto" infer $model.sotto $image --port "$port"
expect 0 'Ankle boot' "$sotto" infer $model $image --port "$port" --sign circuit
expect 0 '"label": "Ankle boot"' "$sotto" infer $model.sotto $image --port "$port" --json
expect 0 'pgm: Ankle boot$' "$sotto" infer $model.sotto $image --port "$port" --label
expect 1 'Address already in use\|in use' "$sotto" serve $model --port "$port"
printf 'P5\n4 4\n255\n0123456789abcdef' >"$work/small.pgm"
expect 1 '4 x 4 pixels; .* takes 28 x 28.*give --fit' "$sotto" infer $model.sotto "$work/small.pgm" --port "$port"
expect 0 'per image' "$sotto" infer $model.sotto "$work/small.pgm" --port "$port" --fit --top 10
expect 2 'one of them' "$sotto" infer $model.sotto $image --fit --raw
tail -c 784 $image >"$work/image.raw"
expect 0 'Ankle boot' "$sotto" infer $model.sotto "$work/image.raw" --raw --port "$port"
expect 1 'neither PGM.*--raw' "$sotto" infer $model.sotto "$work/image.raw" --port "$port"
expect 1 '00-ankle-boot.pgm: [0-9]* bytes; the model takes 784 raw' "$sotto" infer $model.sotto $image --raw --port "$port"
expect 0 '"top": \[{"label": "Ankle boot", "class": 9, ' "$sotto" infer $model.sotto $image --port "$port" --json
head -c 100 $image >"$work/torn.pgm"
expect 1 'torn.pgm: no whole' "$sotto" infer $model.sotto "$work/torn.pgm" --port "$port"
expect 1 'neither PGM' "$sotto" infer $model.sotto $model.weights --port "$port"
sed 's/u=7/u=6/; s/u=8/u=7/; /^id/d; /^checksum/d' $model.sotto >"$work/other.sotto"
expect 1 'another model' "$sotto" infer "$work/other.sotto" $image --port "$port"
# Strangers: garbage, nothing at all, a connection that is dropped. The server goes on.
if command -v bash >/dev/null; then
	bash -c "head -c 100000 /dev/urandom >/dev/tcp/127.0.0.1/$port" 2>/dev/null
	bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; sleep 4" 2>/dev/null
	bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" 2>/dev/null
	expect 0 'SOTTO_ERR_PROTOCOL' cat "$work/log"
	expect 0 'SOTTO_ERR_TIMEOUT' cat "$work/log"
	# The first frame of a client of another release.
	bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; printf 'So\\143\\002\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0' >&3; cat <&3" >/dev/null 2>&1
	expect 0 'protocol version 99, .*same release of sotto on both sides' cat "$work/log"
fi
expect 0 'Ankle boot' "$sotto" infer $model.sotto $image --port "$port"
kill -TERM $server
wait $server || { echo "FAILED: the server does not end well on SIGTERM"; failed=1; }
server=
start_server $model --label-only
expect 0 'pgm: Ankle boot$' "$sotto" infer $model.sotto $image --port "$port" --label
expect 1 'labels alone' "$sotto" infer $model.sotto $image --port "$port"
kill -TERM $server
wait $server
server=
expect 1 'refused' "$sotto" infer $model.sotto $image --port "$port" --timeout 2
# Images are looked at before there is a connection.
expect 1 'torn.pgm: no whole' "$sotto" infer $model.sotto "$work/torn.pgm" --port "$port"
expect 0 'peak memory' "$sotto" demo --count 2
expect 0 '00-ankle-boot' "$sotto" demo $model.sotto --count 1
expect 0 '00-ankle-boot' sh -c "cd apps/demo && exec '$(realpath "$sotto")' demo fashion --count 1"
expect 1 'nonesuch.sotto: No such file' "$sotto" demo nonesuch
expect 0 '"equals_reference": true' "$sotto" demo --count 1 --json --sign circuit
# Bytes are whole numbers, not rounded to six digits.
expect 0 '^0$' sh -c "'$sotto' demo --count 1 --json | grep bytes | grep -c ': .*[.e+]' || true"
expect 1 'run from the top' "$sotto" demo --images "$work/none"
expect 1 'cannot be written' sh -c "'$sotto' inspect $model.sotto >/dev/full"

echo "program: $checks checks, $([ $failed -eq 0 ] && echo all passed || echo SOME FAILED)"
exit $failed
