# dejunk - `make run` to use it, `make test` to check it; CONTRIBUTING.md tells the rest.

VERSION := 0.1.0
comma := ,
BUILD := build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
V ?= 0
Q := $(if $(filter 1,$(V)),,@)

LIBRARIES := libcares libconfuse libpcre2-8 libpsl libidn2 libxxhash openssl zlib libbrotlidec \
	libbrotlienc libzstd libseccomp libsystemd
LIBS = $(shell pkg-config --libs $(LIBRARIES)) -lev -lcrypt -lpthread -lm
LIB_FLAGS = $(shell pkg-config --cflags $(LIBRARIES))

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes
HARDENING := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
ifeq ($(SAN),)
OPTIMISE := -O2 -g -D_FORTIFY_SOURCE=2
else
OPTIMISE := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
endif
CFLAGS ?=
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE -DDEJUNK_VERSION='"$(VERSION)"' -Isrc \
	-isystem /usr/share/include/llhttp $(WARNINGS) $(HARDENING) $(OPTIMISE) $(LIB_FLAGS) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)

SOURCES := $(filter-out src/main.c,$(wildcard src/*/*.c))
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o)
LLHTTP_DIR := /usr/share/llhttp
LLHTTP := $(patsubst %,$(BUILD)/llhttp/%.o,api http llhttp)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
T ?=

.PHONY: all test clean
all: $(BUILD)/dejunk

$(BUILD)/dejunk: $(BUILD)/src/main.o $(BUILD)/libdejunk.a
	$(Q)echo "  LINK  $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/libdejunk.a: $(OBJECTS) $(LLHTTP)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/src/%.o: src/%.c
	@mkdir -p $(@D)
	$(Q)echo "  CC    $<"
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/llhttp/%.o: $(LLHTTP_DIR)/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -DLLHTTP_STRICT_MODE=1 -w -c -o $@ $<

$(BUILD)/tests/test_%: tests/unit/test_%.c $(BUILD)/libdejunk.a
	@mkdir -p $(@D)
	$(Q)echo "  TEST  $@"
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -o $@ $< $(BUILD)/libdejunk.a $(ALL_LDFLAGS) -lcmocka $(LIBS)

test: $(BUILD)/dejunk $(UNIT_TESTS)
	$(Q)for t in $(if $(T),$(BUILD)/tests/test_$(T),$(UNIT_TESTS)); do $$t || exit 1; done

clean:
	rm -rf build

-include $(OBJECTS:.o=.d) $(BUILD)/src/main.d $(UNIT_TESTS:%=%.d)
