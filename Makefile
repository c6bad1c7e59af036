# dejunk - `make run` to use it, `make test` to check it; CONTRIBUTING.md tells the rest.
#
# Objects go to build/, or to a directory below it when CC or SAN ask for something else. V=1 shows
# the commands. A changed flag rebuilds what it touches.

VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
SAN ?=
WERROR ?=
V ?= 0
T ?=
RERUNS ?= 0
FUZZ_S ?= 60
DEJUNK_SHARED ?= ../shared
PYTHON := /usr/bin/python3
JOBS := $(shell nproc 2>/dev/null || echo 2)

ifeq ($(origin CC),default)
CC := gcc
endif
Q := $(if $(filter 1,$(V)),,@)
say = @$(if $(filter 1,$(V)),:,echo "  $(1)")
comma := ,
empty :=
space := $(empty) $(empty)
variant := $(if $(filter-out gcc,$(CC)),$(subst /,_,$(subst $(space),_,$(CC)))) \
	$(if $(SAN),san-$(subst $(comma),-,$(SAN))) $(if $(WERROR),werror)
BUILD := build$(addprefix /,$(subst $(space),-,$(strip $(variant))))

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all tests run test unit e2e check lint fmt fuzz bench kits install uninstall clean \
	objects lint-objects lint-tidy
all: $(BUILD)/dejunk

# ---- what the machine must have -----------------------------------------------------------------
# Each goal asks for its own sections of conf/packages, before anything is built, and only when
# that list or dpkg's has changed since. Then the libraries' flags are read.

GOALS := $(or $(MAKECMDGOALS),all)
NEEDS := $(if $(filter-out clean uninstall fmt,$(GOALS)),build) $(if $(filter run,$(GOALS)),run) \
	$(if $(filter test tests unit e2e check kits bench,$(GOALS)),test) \
	$(if $(filter lint lint-% check fmt,$(GOALS)),lint) $(if $(filter fuzz,$(GOALS)),fuzz)
NEEDS := $(strip $(NEEDS))
ifneq ($(NEEDS),)
SETUP := build/setup/$(subst $(space),-,$(NEEDS)).mk
$(SETUP): conf/packages conf/setup conf/flags $(wildcard /var/lib/dpkg/status)
	@conf/setup $(NEEDS)
	@mkdir -p $(@D)
	@$(if $(filter build,$(NEEDS)),conf/flags) >$@
include $(SETUP)
endif

# ---- flags --------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes \
	-Wmissing-prototypes $(if $(WERROR),-Werror)
# gcc's -Wconversion sees to integers; clang's minds enums in small fields and assert(!"text") too.
ifneq ($(findstring clang,$(CC)),)
WARNINGS += -Wno-implicit-int-conversion -Wno-string-conversion
endif
HARDENING := -fstack-protector-strong -fstack-clash-protection -fPIE $(MACHINE_FLAGS)
ifeq ($(SAN),)
OPTIMISE := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
else
OPTIMISE := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
endif
CFLAGS ?=
LDFLAGS ?=
ALL_CFLAGS := -std=c17 -D_GNU_SOURCE -DDEJUNK_VERSION='"$(VERSION)"' \
	-Isrc $(WARNINGS) $(HARDENING) $(OPTIMISE) $(LIB_FLAGS) $(CFLAGS)
# Over every byte of every page: a tenth faster, and across the files of html/ some percent more,
# in the program and the benchmarks; tests are linked without, which takes less time.
HTML_FLAGS := $(if $(SAN),,-O3 $(if $(findstring gcc,$(CC)),-flto=auto -ffat-lto-objects))
ALL_LDFLAGS := -pie -fno-lto -Wl,-z,relro,-z,now -Wl,-z,noexecstack \
	$(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)

SOURCES := $(filter-out src/main.c,$(wildcard src/*/*.c))
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o)
LLHTTP := $(if $(LLHTTP_DIR),$(patsubst %,$(BUILD)/llhttp/%.o,api http llhttp))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c)) \
	$(BUILD)/tests/talk
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAYS := $(FUZZERS:%=$(BUILD)/replay/%)
BENCHES := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
TOOLS := $(patsubst tests/tools/%.c,$(BUILD)/tests/%,$(wildcard tests/tools/*.c))

# Written anew when they say something else, so that make sees the change; and not before the
# libraries' flags are known.
FLAGS_NOW := $(strip $(CC) $(ALL_CFLAGS) $(HTML_FLAGS) $(ALL_LDFLAGS) $(LIBS))
SOURCES_NOW := $(strip $(SOURCES))
ifneq ($(if $(filter build,$(NEEDS)),$(wildcard $(SETUP))),)
$(shell mkdir -p $(BUILD))
ifneq ($(file <$(BUILD)/flags),$(FLAGS_NOW))
$(file >$(BUILD)/flags,$(FLAGS_NOW))
endif
ifneq ($(file <$(BUILD)/sources),$(SOURCES_NOW))
$(file >$(BUILD)/sources,$(SOURCES_NOW))
endif
endif

# ---- the program --------------------------------------------------------------------------------

$(BUILD)/dejunk: $(BUILD)/src/main.o $(BUILD)/libdejunk.a
	$(call say,LINK  $@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS:-fno-lto=) $(HTML_FLAGS) -o $@ $^ $(LIBS)

$(BUILD)/libdejunk.a: $(OBJECTS) $(LLHTTP) $(BUILD)/sources
	$(Q)rm -f $@ && ar rcs $@ $(OBJECTS) $(LLHTTP)

$(BUILD)/src/html/%.o: ALL_CFLAGS += $(HTML_FLAGS)

$(BUILD)/src/%.o: src/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC    $<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/llhttp/%.o: $(LLHTTP_DIR)/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC    $<)
	$(Q)$(CC) $(ALL_CFLAGS) -DLLHTTP_STRICT_MODE=1 -w -c -o $@ $<

run: $(BUILD)/dejunk
	@conf/run $<

# ---- tests --------------------------------------------------------------------------------------
# T=name: the unit test of that name, or else the end-to-end tests whose names have it.

ONE_UNIT := $(if $(T),$(filter $(BUILD)/tests/test_$(T) $(BUILD)/tests/$(T),$(UNIT_TESTS)))
TEST_ENV = DEJUNK=$(BUILD)/dejunk DEJUNK_SHARED=$(DEJUNK_SHARED) DEJUNK_SAN=$(SAN)

tests: $(BUILD)/dejunk $(UNIT_TESTS) $(REPLAYS) $(TOOLS)

test: $(if $(T),$(if $(ONE_UNIT),unit,e2e),unit e2e)

unit: $(or $(ONE_UNIT),$(UNIT_TESTS)) $(if $(T),,$(REPLAYS))
	@$(TEST_ENV) tests/unit/run $(filter-out %/libdejunk.a,$^)

# After the unit tests where both are asked for. RERUNS=1 runs those that fail once more and names
# them, for machines that others keep busy; never where the proxy crashed or a sanitizer spoke.
FORGIVING := $(if $(filter-out 0,$(RERUNS)),-rR --reruns $(RERUNS) \
	--only-rerun '(?s)^(?!.*(Sanitizer|the proxy ended))')
e2e: $(BUILD)/dejunk $(TOOLS) $(if $(filter-out e2e,$(if $(T),,$(GOALS))),unit)
	@$(TEST_ENV) $(PYTHON) -m pytest -q -p no:cacheprovider $(FORGIVING) $(if $(T),-k '$(T)') \
		tests/e2e tests/lint

$(BUILD)/tests/test_%: tests/unit/test_%.c $(BUILD)/libdejunk.a
	@mkdir -p $(@D)
	$(call say,TEST  $@)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(BUILD)/libdejunk.a $(ALL_LDFLAGS) \
		-lcmocka $(LIBS)

# Whole conversations with a proxy: tests/talk/*.talk.
$(BUILD)/tests/talk: tests/talk/talk.c $(BUILD)/libdejunk.a
	@mkdir -p $(@D)
	$(call say,TEST  $@)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(BUILD)/libdejunk.a $(ALL_LDFLAGS) $(LIBS)

# Programs that show a part at work, for tests written in other languages.
$(BUILD)/tests/%: tests/tools/%.c $(BUILD)/libdejunk.a
	@mkdir -p $(@D)
	$(call say,TEST  $@)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(BUILD)/libdejunk.a $(ALL_LDFLAGS) $(LIBS)

# Each fuzz target once over its corpus, with the compiler at hand.
$(BUILD)/replay/%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c $(BUILD)/libdejunk.a
	@mkdir -p $(@D)
	$(call say,TEST  $@)
	$(Q)$(CC) $(ALL_CFLAGS) -Wno-missing-prototypes -MMD -MP -MF $@.d -o $@ $< tests/fuzz/replay.c \
		$(BUILD)/libdejunk.a $(ALL_LDFLAGS) $(LIBS)

check:
	$(MAKE) lint
	$(MAKE) test
	$(MAKE) SAN=address,undefined test

kits: $(BUILD)/dejunk
	@$(TEST_ENV) tests/own-network tests/kits/run

bench: $(BUILD)/dejunk $(BENCHES)
	@$(TEST_ENV) tests/bench/run $(BENCHES)

$(BUILD)/bench/%: tests/bench/%.c $(BUILD)/libdejunk.a
	@mkdir -p $(@D)
	$(call say,BENCH $@)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -MT $@ -MF $@.d -c -o $@.o $<
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS:-fno-lto=) $(HTML_FLAGS) -o $@ $@.o $(BUILD)/libdejunk.a \
		$(LIBS)

# ---- fuzzing: everything anew with clang and its sanitizers; each target for FUZZ_S seconds ------

FUZZ_CHECKS := address,undefined
fuzz:
	@$(MAKE) --no-print-directory CC=clang SAN=$(FUZZ_CHECKS) CFLAGS='$(CFLAGS) -fsanitize=fuzzer-no-link' \
		fuzz-run

.PHONY: fuzz-run
fuzz-run: $(FUZZERS:%=$(BUILD)/fuzz/%)
	@tests/fuzz/run $(FUZZ_S) $^

$(BUILD)/fuzz/%: tests/fuzz/fuzz_%.c $(BUILD)/libdejunk.a
	@mkdir -p $(@D)
	$(call say,FUZZ  $@)
	$(Q)$(CC) $(ALL_CFLAGS) -Wno-missing-prototypes -MMD -MP -MF $@.d -fsanitize=fuzzer -o $@ $< \
		$(BUILD)/libdejunk.a $(ALL_LDFLAGS) $(LIBS)

# ---- lint: both compilers with warnings as errors, clang-tidy, the rules of the house ------------

lint:
	@$(MAKE) --no-print-directory -j$(JOBS) CC=gcc WERROR=1 lint-objects
	@$(MAKE) --no-print-directory -j$(JOBS) CC=clang WERROR=1 lint-objects lint-tidy
	@$(PYTHON) tests/lint/rooms.py
	@tests/lint/format

lint-objects: tests $(BENCHES)

# An object of clang's changes when its source or a header does: then it is looked at again.
lint-tidy: $(patsubst %,$(BUILD)/tidy/%.ok,$(SOURCES) src/main.c)

$(BUILD)/tidy/%.c.ok: $(BUILD)/%.o .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY  $*.c)
	$(Q)clang-tidy --quiet --warnings-as-errors='*' $*.c -- $(ALL_CFLAGS) 2>$@.log || \
		{ cat $@.log; exit 1; }
	@touch $@

fmt:
	clang-format -i $$(git ls-files '*.c' '*.h')

# ---- installation -------------------------------------------------------------------------------

install: $(BUILD)/dejunk
	@conf/install $(BUILD)/dejunk '$(DESTDIR)' '$(PREFIX)'

uninstall:
	@conf/install --remove '$(DESTDIR)' '$(PREFIX)'

clean:
	rm -rf build

-include $(OBJECTS:.o=.d) $(BUILD)/src/main.d $(UNIT_TESTS:%=%.d) $(REPLAYS:%=%.d) \
	$(BENCHES:%=%.d) $(TOOLS:%=%.d) $(FUZZERS:%=$(BUILD)/fuzz/%.d)
