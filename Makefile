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
ring_SRC   := modulus prime ntt ntt_ref rns poly sample
bfv_SRC    := params keys encrypt evaluate encode noise wire flood answer
ot_SRC     := base extension product lookup
garble_SRC := circuit gadgets halfgates
nn_SRC     := model/model model/text model/weights model/deploy plain/float plain/program plain/fixed plain/calibrate \
              secure/linear secure/step secure/network secure/frame secure/sign secure/unit secure/material secure/session client server
# Part of the program, not of the library: these need OpenBLAS, zlib and libpng.
train_SRC  := dataset tape train
apps_SRC   := main cli image model train inspect eval serve infer demo bench

lib_TEST    := err mem ct bytes rng cpu aes prg hash chan tcp pool support
ring_TEST   := modulus prime ntt rns poly sample
bfv_TEST    := params keys encrypt evaluate encode noise wire flood answer
ot_TEST     :=
garble_TEST := circuit gadgets halfgates
nn_TEST     := linear step session

WARN := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wundef -Werror
# zmm and ymm code must not leak into portable files, so there is no -march here; files that need an extension name it below.
CFLAGS   ?= $(OPT) -g
SOTTO_CFLAGS := -std=c11 -D_GNU_SOURCE -I. -fvisibility=hidden -fPIC -pthread $(WARN) $(CFLAGS)
LDLIBS   := -lsodium -lgmp -lm -pthread

# gcc unrolls loops of eight lanes, which belong in registers, from -O3 on only.
$(BUILD)/lib/aes_ni.o: SOTTO_CFLAGS += -O3 -maes -mssse3
$(BUILD)/lib/aes_portable.o: SOTTO_CFLAGS += -O3

OBJ         := $(foreach m,$(MODULES),$(patsubst %,$(BUILD)/$(m)/%.o,$($(m)_SRC)))
SUPPORT_OBJ := $(BUILD)/tests/support/support.o
TESTS       := $(foreach m,$(MODULES),$(patsubst %,$(BUILD)/tests/$(m)/test_%,$($(m)_TEST)))
LIB         := $(BUILD)/libsotto.a
HEADERS      = $(foreach m,$(MODULES),$(filter-out %internal.h %kernel.h %kernels.h nn/train/%,$(wildcard $(m)/*.h $(m)/*/*.h)))

BUILD_PACKAGES := gcc libc6-dev libgmp-dev libsodium-dev
TEST_PACKAGES  := $(BUILD_PACKAGES) libcmocka-dev

.PHONY: lib check check-long check-layers check-symbols check-san tests install clean deps deps-test
.SECONDARY:
.DEFAULT_GOAL := lib

lib: deps
	@$(MAKE) --no-print-directory $(LIB)

deps:
	@.ci/install $(BUILD_PACKAGES)

deps-test:
	@.ci/install $(TEST_PACKAGES)

$(LIB): $(OBJ)
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(SOTTO_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(SUPPORT_OBJ) $(LIB)
	$(CC) $(CFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

# Everything that gates a change. The sub-make exists so that nothing compiles before the packages are there.
check: deps-test check-layers
	@$(MAKE) --no-print-directory tests check-symbols

# The same with the trials that take minutes.
check-long: deps-test
	@SOTTO_TEST_LONG=1 $(MAKE) --no-print-directory tests

# Address and undefined-behaviour sanitizers, in a build folder of their own.
check-san: deps-test
	@$(MAKE) --no-print-directory tests BUILD=$(BUILD)/san OPT="-O1 -fsanitize=address,undefined -fno-sanitize-recover=all"

tests: $(TESTS)
	@failed=0; for t in $(TESTS); do $$t || { echo "FAILED: $$t"; failed=1; }; done; exit $$failed

check-layers:
	@.ci/layers

check-symbols: $(LIB)
	@if nm -g --defined-only $(LIB) | awk 'NF == 3 && $$3 !~ /^sotto_/ { print "exported without the prefix sotto_: " $$3; bad = 1 } END { exit !bad }'; then exit 1; fi

install: lib
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/sotto
	install -m 644 $(LIB) $(DESTDIR)$(PREFIX)/lib/
	for h in $(HEADERS); do install -D -m 644 $$h $(DESTDIR)$(PREFIX)/include/sotto/$$h || exit 1; done
	printf '%s\n' 'prefix=$(PREFIX)' 'Name: sotto' 'Description: Two-party cryptography for private neural-network inference' \
	    'Version: $(VERSION)' 'Cflags: -I$${prefix}/include/sotto' 'Libs: -L$${prefix}/lib -lsotto -lsodium -lgmp -lm -pthread' \
	    > $(DESTDIR)$(PREFIX)/lib/pkgconfig/sotto.pc

clean:
	rm -rf $(BUILD)

-include $(OBJ:.o=.d) $(TESTS:=.d) $(SUPPORT_OBJ:.o=.d)
