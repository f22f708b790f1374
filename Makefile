# Sotto: private neural-network inference. `make check` is the one to start with.
# BUILD is where output goes, MODULES what the library is built from (in the order of the layers).

BUILD   ?= build
# make predefines CC as cc, which ?= would keep.
ifeq ($(origin CC),default)
CC := gcc
endif
MODULES ?= lib ring bfv ot garble nn
PREFIX  ?= /usr/local
OPT     ?= -O2

VERSION := 0.1.0

# ---- sources, one line per file group; a file that is not named here is not built -------------------------------
lib_SRC    := err mem ct bytes rng cpu aes aes_ni aes_portable prg hash chan tcp pool
ring_SRC   := modulus prime ntt ntt_ref rns rns_ref rns_ifma poly sample
bfv_SRC    := params keys encrypt evaluate encode noise wire flood answer
ot_SRC     := base extension product lookup
garble_SRC := circuit gadgets halfgates
nn_SRC     := model/model model/text model/weights model/deploy plain/float plain/program plain/fixed plain/calibrate \
              secure/linear secure/step secure/network secure/frame secure/sign secure/unit secure/material secure/session client server
# Part of the program, not of the library: these need OpenBLAS, zlib and libpng.
train_SRC  := dataset tape train
apps_SRC   := main cli common image train inspect eval serve infer demo bench bench_lattice bench_party bench_network

lib_TEST    := err mem ct bytes rng cpu aes prg hash chan tcp pool support
ring_TEST   := modulus prime ntt rns poly sample
bfv_TEST    := params keys encrypt evaluate encode noise wire flood answer
ot_TEST     := base extension product lookup
garble_TEST := circuit gadgets halfgates
nn_TEST     := model text weights deploy float program fixed calibrate linear step frame unit session
train_TEST  := dataset tape train shipped

WARN := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wundef -Werror
# zmm and ymm code must not leak into portable files, so there is no -march here; files that need an extension name it below.
CFLAGS   ?= $(OPT) -g
SOTTO_CFLAGS := -std=c11 -D_GNU_SOURCE -I. -fvisibility=hidden -fPIC -pthread $(WARN) $(CFLAGS)
LDLIBS   := -lsodium -lgmp -lm -pthread

# gcc unrolls loops of eight lanes, which belong in registers, from -O3 on only.
$(BUILD)/lib/aes_ni.o: SOTTO_CFLAGS += -O3 -maes -mssse3
$(BUILD)/lib/aes_portable.o: SOTTO_CFLAGS += -O3
$(BUILD)/ring/rns_ref.o: SOTTO_CFLAGS += -O3
$(BUILD)/ring/rns_ifma.o: SOTTO_CFLAGS += -O3 -mavx512f -mavx512dq -mavx512vl -mavx512ifma

OBJ         := $(foreach m,$(MODULES),$(patsubst %,$(BUILD)/$(m)/%.o,$($(m)_SRC)))
SUPPORT_OBJ := $(BUILD)/tests/support/support.o
TESTS       := $(foreach m,$(MODULES),$(patsubst %,$(BUILD)/tests/$(m)/test_%,$($(m)_TEST)))
LIB         := $(BUILD)/libsotto.a
TRAIN_OBJ   := $(patsubst %,$(BUILD)/nn/train/%.o,$(train_SRC))
APPS_OBJ    := $(patsubst %,$(BUILD)/apps/%.o,$(apps_SRC))
TRAIN_TESTS := $(patsubst %,$(BUILD)/tests/train/test_%,$(train_TEST))
SOTTO       := $(BUILD)/sotto
HEADERS      = $(foreach m,$(MODULES),$(filter-out %internal.h %kernel.h %kernels.h nn/train/%,$(wildcard $(m)/*.h $(m)/*/*.h)))

LIB_PACKAGES   := gcc libc6-dev libgmp-dev libsodium-dev
APP_PACKAGES   := $(LIB_PACKAGES) libopenblas-dev zlib1g-dev libpng-dev
TEST_PACKAGES  := $(APP_PACKAGES) libcmocka-dev pkg-config dataset-fashion-mnist

.PHONY: lib program demo bench check check-long check-layers check-symbols check-san check-program check-install tests install \
        clean deps-lib deps-app deps-test
.SECONDARY:
.DEFAULT_GOAL := lib

# Sub-makes exist so that nothing compiles before the packages are there.
lib: deps-lib
	@$(MAKE) --no-print-directory $(LIB)

program: deps-app
	@$(MAKE) --no-print-directory $(SOTTO)

# Server and client as two processes on this machine: ten test images with the shipped network.
demo: program
	@$(SOTTO) demo

# BENCH names a group: ring, bfv, ot, garble, relu, layer, model, train or all.
BENCH ?= all
bench: program
	@$(SOTTO) bench $(BENCH)

deps-lib:
	@.ci/install $(LIB_PACKAGES)

deps-app:
	@.ci/install $(APP_PACKAGES)

deps-test:
	@.ci/install $(TEST_PACKAGES)

$(LIB): $(OBJ)
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(SOTTO_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/train/%: $(BUILD)/tests/train/%.o $(SUPPORT_OBJ) $(TRAIN_OBJ) $(LIB)
	$(CC) $(CFLAGS) -o $@ $^ -lcmocka -lopenblas -lz $(LDLIBS)

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(SUPPORT_OBJ) $(LIB)
	$(CC) $(CFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

$(APPS_OBJ): SOTTO_CFLAGS += -DSOTTO_VERSION='"$(VERSION)"'

$(SOTTO): $(APPS_OBJ) $(TRAIN_OBJ) $(LIB)
	$(CC) $(CFLAGS) -o $@ $^ -lopenblas -lz -lpng $(LDLIBS)

# Everything that gates a change.
check: deps-test check-layers
	@$(MAKE) --no-print-directory tests check-symbols check-program check-install

# The same with the trials that take minutes.
check-long: deps-test
	@SOTTO_TEST_LONG=1 $(MAKE) --no-print-directory tests

# Address and undefined-behaviour sanitizers, in a build folder of their own.
check-san: deps-test
	@$(MAKE) --no-print-directory tests check-program BUILD=$(BUILD)/san OPT="-O1 -fsanitize=address,undefined -fno-sanitize-recover=all"

tests: $(TESTS) $(TRAIN_TESTS)
	@failed=0; for t in $(TESTS) $(TRAIN_TESTS); do $$t || { echo "FAILED: $$t"; failed=1; }; done; exit $$failed

check-layers:
	@.ci/layers

check-symbols: $(LIB)
	@if nm -g --defined-only $(LIB) | awk 'NF == 3 && $$3 !~ /^sotto_/ { print "exported without the prefix sotto_: " $$3; bad = 1 } END { exit !bad }'; then exit 1; fi

# The program as a user meets it: help, mistakes, bad files, hostile peers.
check-program: $(SOTTO)
	@tests/apps/run.sh $(SOTTO)

# An embedder's program, compiled against an installed copy and run.
check-install: $(SOTTO)
	@$(MAKE) --no-print-directory install DESTDIR= PREFIX=$(abspath $(BUILD))/installed > /dev/null
	PKG_CONFIG_PATH=$(BUILD)/installed/lib/pkgconfig $(CC) -Wall -Wextra -Werror -o $(BUILD)/example apps/example.c \
	    $$(PKG_CONFIG_PATH=$(BUILD)/installed/lib/pkgconfig pkg-config --cflags --libs sotto) $(EXAMPLE_LDFLAGS)
	$(BUILD)/example apps/demo/fashion apps/demo/images/00-ankle-boot.pgm

install: program
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/sotto
	install -m 755 $(SOTTO) $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(LIB) $(DESTDIR)$(PREFIX)/lib/
	for h in $(HEADERS); do install -D -m 644 $$h $(DESTDIR)$(PREFIX)/include/sotto/$$h || exit 1; done
	printf '%s\n' 'prefix=$(PREFIX)' 'Name: sotto' 'Description: Two-party cryptography for private neural-network inference' \
	    'Version: $(VERSION)' 'Cflags: -I$${prefix}/include/sotto' 'Libs: -L$${prefix}/lib -lsotto -lsodium -lgmp -lm -pthread' \
	    > $(DESTDIR)$(PREFIX)/lib/pkgconfig/sotto.pc

clean:
	rm -rf $(BUILD)

-include $(OBJ:.o=.d) $(TESTS:=.d) $(SUPPORT_OBJ:.o=.d) $(TRAIN_OBJ:.o=.d) $(APPS_OBJ:.o=.d) $(TRAIN_TESTS:=.d)
