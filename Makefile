# Sotto: private neural-network inference. `make check` is the one to start with.
# BUILD is where output goes, MODULES what the library is built from (in the order of the layers).

BUILD   ?= build
# make predefines CC as cc, which ?= would keep.
ifeq ($(origin CC),default)
CC := gcc
endif
MODULES ?= lib ring bfv ot garble nn
PREFIX  ?= /usr/local
# Pictures beside PGM and PPM: empty builds the program without libpng, without libjpeg.
PNG     ?= 1
JPEG    ?= 1
OPT     ?= -O2

VERSION := 0.1.0

# ---- sources, one line per file group; a file that is not named here is not built -------------------------------
lib_SRC    := err mem ct bytes bytes_vbmi rng cpu aes aes_ni aes_vaes aes_portable prg hash hash_vaes chan tcp pool spill
ring_SRC   := modulus prime ntt ntt_ref ntt_avx2 ntt_avx512 ntt_avx512_double ntt_ifma rns rns_ref rns_ifma convert convert_ref convert_ifma poly sample sample_ref sample_avx2 sample_avx512
bfv_SRC    := params keys encrypt evaluate encode noise wire flood answer batch keyswitch multiply galois
ot_SRC     := base extension softspoken ferret silent kernels_ref kernels_avx2 kernels_gfni product lookup lookup_ref lookup_avx2 lookup_avx512
garble_SRC := circuit word gadgets library bristol halfgates garbling plan store kernel_ref kernel_ni kernel_vaes
nn_SRC     := model/model model/text_fields model/text_read model/text_write model/weights model/deploy plain/float plain/program plain/local plain/fixed plain/narrow plain/narrow_ref plain/narrow_avx2 plain/narrow_avx512 plain/observe plain/equalise plain/reach plain/signs plain/calibrate \
              secure/linear secure/linear_plan secure/linear_apply secure/apply_ref secure/apply_avx2 secure/apply_avx512 secure/step secure/step_ref secure/step_avx2 secure/step_avx512 secure/network plan/cost plan/cost_measure plan/cost_units secure/frame secure/sign secure/unit secure/unit_client secure/unit_server secure/poly secure/label secure/terms secure/item_client secure/item_server plan/forecast plan/planner secure/session client server
# Part of the program, not of the library: these need OpenBLAS, zlib, libpng and protobuf-c.
train_SRC  := dataset conv conv_ref conv_avx2 conv_avx512 tape tape_plan tape_vertex tape_ops tape_loops_ref tape_loops_avx2 tape_loops_avx512 loss augment optimise rounding checkpoint train
onnx_SRC   := read operators arithmetic shapes constant simplify write
apps_SRC   := main cli common sets image image_coded train train_log evaluate quantise inspect plan import export eval serve infer demo bench bench_lattice bench_party bench_layer bench_model bench_growth bench_train link plot

lib_TEST    := err mem ct bytes rng cpu aes prg hash chan tcp pool spill support
ring_TEST   := modulus prime ntt ntt_ifma tiers rns convert poly sample
bfv_TEST    := params keys encrypt evaluate encode noise wire flood answer batch keyswitch multiply galois answer_long
ot_TEST     := base extension softspoken ferret silent kernels product lookup
garble_TEST := circuit word gadgets library bristol halfgates garbling plan store
nn_TEST     := model text arch weights deploy float program fixed narrow observe equalise reach signs calibrate linear step frame sign unit poly label session cost forecast planner
train_TEST  := dataset conv tape loss augment optimise rounding checkpoint train train_options resume shipped
onnx_TEST   := read write operators networks chains
apps_TEST   := link image sets soak evaluate

WARN := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wundef -Werror
# zmm and ymm code must not leak into portable files, so there is no -march here; files that need an extension name it below.
CFLAGS   ?= $(OPT) -g
SOTTO_CFLAGS := -std=c11 -D_GNU_SOURCE -I. -fvisibility=hidden -fPIC -pthread $(WARN) $(CFLAGS)
LDLIBS   := -lsodium -lgmp -lm -pthread
IMAGE_LIBS := $(if $(PNG),-lpng) $(if $(JPEG),-ljpeg)

# gcc unrolls loops of eight lanes, which belong in registers, from -O3 on only.
$(BUILD)/lib/aes_ni.o: SOTTO_CFLAGS += -O3 -maes -mavx2
$(BUILD)/lib/aes_vaes.o: SOTTO_CFLAGS += -O3 -mvaes -mavx512f -mavx512bw -mavx512dq -mavx512vl
$(BUILD)/lib/aes_portable.o: SOTTO_CFLAGS += -O3
$(BUILD)/lib/hash_vaes.o: SOTTO_CFLAGS += -O3 -mvaes -mavx512f -mavx512bw -mavx512dq -mavx512vl
$(BUILD)/lib/bytes_vbmi.o: SOTTO_CFLAGS += -O3 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vbmi
$(BUILD)/ot/product.o: SOTTO_CFLAGS += -O3
# SSE2 shifts all lanes by one count, which says nothing but which memcheck takes for a leak.
$(BUILD)/ot/lookup_ref.o: SOTTO_CFLAGS += -O3 -fno-tree-vectorize -fno-tree-slp-vectorize
$(BUILD)/ot/lookup_avx2.o: SOTTO_CFLAGS += -O3 -mavx2
$(BUILD)/ot/lookup_avx512.o: SOTTO_CFLAGS += -O3 -mavx512f -mavx512dq -mavx512vl -mprefer-vector-width=512
$(BUILD)/ot/kernels_ref.o: SOTTO_CFLAGS += -O3
$(BUILD)/ot/kernels_avx2.o: SOTTO_CFLAGS += -O3 -mavx2
$(BUILD)/ot/kernels_gfni.o: SOTTO_CFLAGS += -O3 -mgfni -mvaes -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vbmi
$(BUILD)/garble/kernel_ni.o: SOTTO_CFLAGS += -O3 -maes -mavx2
$(BUILD)/garble/kernel_vaes.o: SOTTO_CFLAGS += -O3 -mvaes -mavx512f -mavx512bw -mavx512dq -mavx512vl -mbmi2
$(BUILD)/ring/sample_ref.o: SOTTO_CFLAGS += -O3
$(BUILD)/nn/plain/float.o: SOTTO_CFLAGS += -O3
$(BUILD)/nn/plain/narrow_ref.o: SOTTO_CFLAGS += -O3
$(BUILD)/nn/plain/narrow_avx2.o: SOTTO_CFLAGS += -O3 -mavx2
$(BUILD)/nn/plain/narrow_avx512.o: SOTTO_CFLAGS += -O3 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512
$(BUILD)/nn/secure/step_ref.o $(BUILD)/nn/secure/apply_ref.o: SOTTO_CFLAGS += -O3
$(BUILD)/nn/secure/step_avx2.o $(BUILD)/nn/secure/apply_avx2.o: SOTTO_CFLAGS += -O3 -mavx2
$(BUILD)/nn/secure/step_avx512.o $(BUILD)/nn/secure/apply_avx512.o: SOTTO_CFLAGS += -O3 -mavx512f -mavx512dq -mavx512vl -mprefer-vector-width=512
# -std=c11 keeps gcc from fusing a multiplication with an addition; here that is the point.
$(BUILD)/nn/train/conv_ref.o: SOTTO_CFLAGS += -O3
$(BUILD)/nn/train/conv_avx2.o: SOTTO_CFLAGS += -O3 -mavx2 -mfma -ffp-contract=fast
$(BUILD)/nn/train/conv_avx512.o: SOTTO_CFLAGS += -O3 -mavx512f -mavx512dq -mavx512vl -mprefer-vector-width=512 -ffp-contract=fast
$(BUILD)/nn/train/tape_loops_ref.o: SOTTO_CFLAGS += -O3
$(BUILD)/nn/train/tape_loops_avx2.o: SOTTO_CFLAGS += -O3 -mavx2 -mfma -ffp-contract=fast
$(BUILD)/nn/train/tape_loops_avx512.o: SOTTO_CFLAGS += -O3 -mavx512f -mavx512dq -mavx512vl -mprefer-vector-width=512 -ffp-contract=fast
$(BUILD)/ring/sample_avx2.o: SOTTO_CFLAGS += -O3 -mavx2 -mpopcnt
$(BUILD)/ring/sample_avx512.o: SOTTO_CFLAGS += -O3 -mavx512f -mavx512dq -mavx512vl -mpopcnt
$(BUILD)/ring/ntt_avx2.o: SOTTO_CFLAGS += -O3 -mavx2 -mfma -ffp-contract=off
$(BUILD)/ring/ntt_avx512.o: SOTTO_CFLAGS += -O3 -mavx512f -mavx512dq -mavx512vl -mavx512bw
$(BUILD)/ring/ntt_avx512_double.o: SOTTO_CFLAGS += -O3 -mavx512f -mavx512dq -mavx512vl -mavx512bw -ffp-contract=off
$(BUILD)/ring/ntt_ifma.o: SOTTO_CFLAGS += -O3 -mavx512f -mavx512dq -mavx512vl -mavx512ifma
$(BUILD)/ring/rns_ref.o: SOTTO_CFLAGS += -O3
$(BUILD)/ring/rns_ifma.o: SOTTO_CFLAGS += -O3 -mavx512f -mavx512dq -mavx512vl -mavx512ifma
$(BUILD)/ring/convert_ref.o: SOTTO_CFLAGS += -O3
$(BUILD)/ring/convert_ifma.o: SOTTO_CFLAGS += -O3 -mavx512f -mavx512dq -mavx512vl -mavx512ifma

OBJ         := $(foreach m,$(MODULES),$(patsubst %,$(BUILD)/$(m)/%.o,$($(m)_SRC)))
SUPPORT_OBJ := $(BUILD)/tests/support/support.o
TESTS       := $(foreach m,$(MODULES),$(patsubst %,$(BUILD)/tests/$(m)/test_%,$($(m)_TEST)))
LIB         := $(BUILD)/libsotto.a
TRAIN_OBJ   := $(patsubst %,$(BUILD)/nn/train/%.o,$(train_SRC))
# Generated from the schema, with the header that the others include.
ONNX_SCHEMA := $(BUILD)/nn/onnx/onnx.pb-c
ONNX_OBJ    := $(patsubst %,$(BUILD)/nn/onnx/%.o,$(onnx_SRC)) $(ONNX_SCHEMA).o
APPS_OBJ    := $(patsubst %,$(BUILD)/apps/%.o,$(apps_SRC))
ONNX_TESTS  := $(patsubst %,$(BUILD)/tests/onnx/test_%,$(onnx_TEST))
TRAIN_TESTS := $(patsubst %,$(BUILD)/tests/train/test_%,$(train_TEST))
APPS_TESTS  := $(patsubst %,$(BUILD)/tests/apps/test_%,$(apps_TEST))
FUZZ_OBJ    := $(patsubst %,$(BUILD)/tests/fuzz/%.o,fuzz lattice files own onnx circuits sessions) $(BUILD)/apps/image.o $(BUILD)/apps/image_coded.o
FUZZ_TEST   := $(BUILD)/tests/fuzz/test_corpus
SECURITY    := $(BUILD)/tests/security/test_estimate $(BUILD)/tests/security/main
SOTTO       := $(BUILD)/sotto
HEADERS      = $(foreach m,$(MODULES),$(filter-out %internal.h %kernel.h %kernels.h nn/train/% nn/onnx/%,$(wildcard $(m)/*.h $(m)/*/*.h)))

LIB_PACKAGES   := gcc libc6-dev libgmp-dev libsodium-dev
APP_PACKAGES   := $(LIB_PACKAGES) libopenblas-dev zlib1g-dev libprotobuf-c-dev protobuf-c-compiler $(if $(PNG),libpng-dev) $(if $(JPEG),libjpeg62-turbo-dev)
TEST_PACKAGES  := $(APP_PACKAGES) libcmocka-dev pkg-config dataset-fashion-mnist libonnx-testdata
CT_PACKAGES    := $(TEST_PACKAGES) clang valgrind binutils
FUZZ_PACKAGES  := $(TEST_PACKAGES) clang libclang-rt-14-dev

.PHONY: lib program demo help bench check check-long check-layers check-symbols check-san check-program check-install tests check-ct fuzz security install \
        clean deps-lib deps-app deps-test deps-ct deps-fuzz
.SECONDARY:
.DEFAULT_GOAL := lib

# Sub-makes exist so that nothing compiles before the packages are there.
lib: deps-lib
	@$(MAKE) --no-print-directory $(LIB)

program: deps-app
	@$(MAKE) --no-print-directory $(SOTTO)

# Server and client as two processes on this machine: ten images with a shipped network, NET=fashion or resnet20.
NET ?= fashion
demo: program
	@$(SOTTO) demo $(NET)

# The targets that a person calls.
help:
	@sed -n 's/^    \(make .*\)/\1/p' CONTRIBUTING.md

# BENCH names a group: ring, bfv, ot, garble, relu, layer, model, growth, train or all.
BENCH ?= all
bench: program
	@$(SOTTO) bench $(BENCH)

deps-lib:
	@.ci/install $(LIB_PACKAGES)

deps-app:
	@.ci/install $(APP_PACKAGES)

deps-test:
	@.ci/install $(TEST_PACKAGES)

deps-ct:
	@.ci/install $(CT_PACKAGES)

deps-fuzz:
	@.ci/install $(FUZZ_PACKAGES)

$(LIB): $(OBJ)
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(SOTTO_CFLAGS) -MMD -MP -c -o $@ $<

$(ONNX_SCHEMA).c: nn/onnx/onnx.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(BUILD) $<

$(ONNX_SCHEMA).o: $(ONNX_SCHEMA).c
	$(CC) -std=c11 -fPIC -I$(BUILD) $(CFLAGS) -c -o $@ $<

# What includes the generated header.
ONNX_USERS  := $(patsubst %,$(BUILD)/nn/onnx/%.o,$(onnx_SRC)) $(BUILD)/tests/onnx/test_operators.o
$(ONNX_USERS): SOTTO_CFLAGS += -isystem $(BUILD)
$(ONNX_USERS): | $(ONNX_SCHEMA).c

$(BUILD)/tests/onnx/%: $(BUILD)/tests/onnx/%.o $(SUPPORT_OBJ) $(ONNX_OBJ) $(TRAIN_OBJ) $(LIB)
	$(CC) $(CFLAGS) -o $@ $^ -lcmocka -lprotobuf-c -lopenblas -lz $(LDLIBS)

$(BUILD)/tests/train/%: $(BUILD)/tests/train/%.o $(SUPPORT_OBJ) $(TRAIN_OBJ) $(LIB)
	$(CC) $(CFLAGS) -o $@ $^ -lcmocka -lopenblas -lz $(LDLIBS)

# The library stands after the objects of the program that need it.
$(BUILD)/tests/apps/%: $(BUILD)/tests/apps/%.o $(SUPPORT_OBJ) $(LIB)
	$(CC) $(CFLAGS) -o $@ $(filter %.o,$^) $(LIB) -lcmocka -lz $(IMAGE_LIBS) $(LDLIBS)

$(BUILD)/tests/apps/test_link: $(BUILD)/apps/link.o
$(BUILD)/tests/apps/test_image: $(BUILD)/apps/image.o $(BUILD)/apps/image_coded.o
$(BUILD)/tests/apps/test_soak: $(BUILD)/apps/common.o $(BUILD)/apps/cli.o
$(BUILD)/tests/apps/test_evaluate: $(BUILD)/apps/evaluate.o $(BUILD)/apps/cli.o $(TRAIN_OBJ)
$(BUILD)/tests/apps/test_evaluate: LDLIBS += -lopenblas
$(BUILD)/tests/apps/test_sets: $(BUILD)/apps/sets.o $(BUILD)/apps/image.o $(BUILD)/apps/image_coded.o $(BUILD)/nn/train/dataset.o

# Every decoder on its kept inputs; and the same targets under libFuzzer, which brings its own main.
$(FUZZ_TEST): $(BUILD)/tests/fuzz/test_corpus.o $(FUZZ_OBJ) $(SUPPORT_OBJ) $(BUILD)/nn/train/dataset.o $(BUILD)/nn/train/checkpoint.o $(ONNX_OBJ) $(LIB)
	$(CC) $(CFLAGS) -o $@ $^ -lcmocka -lprotobuf-c -lz $(IMAGE_LIBS) $(LDLIBS)

$(BUILD)/fuzz: $(BUILD)/tests/fuzz/libfuzzer.o $(FUZZ_OBJ) $(SUPPORT_OBJ) $(BUILD)/nn/train/dataset.o $(BUILD)/nn/train/checkpoint.o $(ONNX_OBJ) $(LIB)
	$(CC) $(CFLAGS) -fsanitize=fuzzer -o $@ $^ -lcmocka -lprotobuf-c -lz $(IMAGE_LIBS) $(LDLIBS)

$(SECURITY): $(BUILD)/tests/security/estimate.o
$(BUILD)/tests/ct/ct: $(BUILD)/tests/ct/parties.o

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(SUPPORT_OBJ) $(LIB)
	$(CC) $(CFLAGS) -o $@ $(filter %.o,$^) $(LIB) -lcmocka $(LDLIBS)

$(BUILD)/apps/image_coded.o $(BUILD)/tests/apps/test_image.o $(BUILD)/tests/fuzz/files.o: SOTTO_CFLAGS += $(if $(PNG),-DSOTTO_PNG) $(if $(JPEG),-DSOTTO_JPEG)
$(APPS_OBJ): SOTTO_CFLAGS += -DSOTTO_VERSION='"$(VERSION)"'

$(SOTTO): $(APPS_OBJ) $(TRAIN_OBJ) $(ONNX_OBJ) $(LIB)
	$(CC) $(CFLAGS) -o $@ $^ -lprotobuf-c -lopenblas -lz $(IMAGE_LIBS) $(LDLIBS)

# Everything that gates a change.
check: deps-test check-layers
	@$(MAKE) --no-print-directory tests check-symbols check-program check-install

# The same with the trials that take minutes.
check-long: deps-test
	@SOTTO_TEST_LONG=1 $(MAKE) --no-print-directory tests

# Address and undefined-behaviour sanitizers, in a build folder of their own.
check-san: deps-test
	@$(MAKE) --no-print-directory tests check-program BUILD=$(BUILD)/san OPT="-O1 -fsanitize=address,undefined -fno-sanitize-recover=all"

# Branches and addresses that depend on secrets, under Valgrind (which reads the debugging format 4 of clang, not 5); then divisions and the like, in the object files.
CT_BUILDS := gcc-O2 gcc-O3 clang-O2 clang-O3
check-ct: deps-ct
	@for b in $(CT_BUILDS); do \
	    $(MAKE) --no-print-directory $(BUILD)/ct/$$b/tests/ct/ct BUILD=$(BUILD)/ct/$$b CC=$${b%-*} CFLAGS="-$${b#*-} -gdwarf-4 -DSOTTO_CT" && \
	    tests/ct/run.sh $(BUILD)/ct/$$b/tests/ct/ct && tests/ct/instructions.sh $(BUILD)/ct/$$b || exit 1; \
	done

# The margin of every parameter set against lattice attacks.
security: deps-test
	@$(MAKE) --no-print-directory $(BUILD)/tests/security/main
	@$(BUILD)/tests/security/main

# libFuzzer on every decoder for FUZZ_SECONDS each, or on those that FUZZ names; findings stay in build/fuzz/findings.
FUZZ         ?=
FUZZ_SECONDS ?= 60
fuzz: deps-fuzz
	@$(MAKE) --no-print-directory $(BUILD)/fuzz/fuzz BUILD=$(BUILD)/fuzz CC=clang \
	    OPT="-O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all"
	@tests/fuzz/run.sh $(BUILD)/fuzz $(FUZZ_SECONDS) $(FUZZ)

# Those of the program need the whole library.
ALL_TESTS := $(TESTS) $(if $(filter nn,$(MODULES)),$(TRAIN_TESTS) $(ONNX_TESTS) $(APPS_TESTS) $(FUZZ_TEST) $(BUILD)/tests/security/test_estimate)
tests: $(ALL_TESTS)
	@failed=0; for t in $(ALL_TESTS); do $$t || { echo "FAILED: $$t"; failed=1; }; done; exit $$failed

check-layers:
	@.ci/layers

check-symbols: $(LIB)
	@if nm -g --defined-only $(LIB) | awk 'NF == 3 && $$3 !~ /^sotto_/ { print "exported without the prefix sotto_: " $$3; bad = 1 } END { exit !bad }'; then exit 1; fi
	@if nm -u $(filter $(BUILD)/nn/%,$(OBJ)) | grep sotto_bfv_noise_budget; then echo "a session must not measure noise: it needs the secret key and tells about it"; exit 1; fi

# The program as a user meets it: help, mistakes, bad files, hostile peers.
check-program: $(SOTTO)
	@tests/apps/run.sh $(SOTTO)

# An embedder's program, compiled against an installed copy and run.
check-install: $(SOTTO)
	@$(MAKE) --no-print-directory install DESTDIR= PREFIX=$(abspath $(BUILD))/installed > /dev/null
	PKG_CONFIG_PATH=$(BUILD)/installed/lib/pkgconfig $(CC) -Wall -Wextra -Werror -o $(BUILD)/example apps/example.c \
	    $$(PKG_CONFIG_PATH=$(BUILD)/installed/lib/pkgconfig pkg-config --cflags --libs sotto) $(EXAMPLE_LDFLAGS)
	$(BUILD)/example apps/demo/fashion apps/demo/images-fashion/00-ankle-boot.pgm

install: program
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/sotto $(DESTDIR)$(PREFIX)/share/sotto/arch
	install -m 755 $(SOTTO) $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(LIB) $(DESTDIR)$(PREFIX)/lib/
	install -m 644 nn/arch/*.arch $(DESTDIR)$(PREFIX)/share/sotto/arch/
	for h in $(HEADERS); do install -D -m 644 $$h $(DESTDIR)$(PREFIX)/include/sotto/$$h || exit 1; done
	printf '%s\n' 'prefix=$(abspath $(PREFIX))' 'Name: sotto' 'Description: Two-party cryptography for private neural-network inference' \
	    'Version: $(VERSION)' 'Cflags: -I$${prefix}/include/sotto' 'Libs: -L$${prefix}/lib -lsotto -lsodium -lgmp -lm -pthread' \
	    > $(DESTDIR)$(PREFIX)/lib/pkgconfig/sotto.pc

clean:
	rm -rf $(BUILD)

-include $(OBJ:.o=.d) $(TESTS:=.d) $(SUPPORT_OBJ:.o=.d) $(TRAIN_OBJ:.o=.d) $(ONNX_OBJ:.o=.d) $(ONNX_TESTS:=.d) $(APPS_OBJ:.o=.d) $(TRAIN_TESTS:=.d) $(FUZZ_OBJ:.o=.d) $(FUZZ_TEST).d $(SECURITY:=.d) $(BUILD)/tests/security/estimate.d $(BUILD)/tests/ct/ct.d $(BUILD)/tests/ct/parties.d $(APPS_TESTS:=.d)
