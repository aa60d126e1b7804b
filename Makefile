# SPDX-License-Identifier: Apache-2.0
#
# One make for the whole tree; `make help` lists the targets.  Each top folder
# names its sources in its own .mk; every output lands below $(O).
#
#   make [V=1] [O=dir] [JOBS=n] [ASAN=1|TSAN=1] [WERROR=1] [T=substring] [target]

VERSION  := 0.1.0
SO_MAJOR := 0

O          ?= build
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
SBINDIR    ?= $(PREFIX)/sbin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR    ?= $(PREFIX)/share
SHAREDIR   ?= $(PREFIX)/share/ooo
DESTDIR    ?=

FUZZ_CC    ?= clang
INSTALL    ?= install
PKG_CONFIG ?= pkg-config
PROTOC_C   ?= protoc-c
PYTHON     ?= python3
CFLAGS     ?= -O2 -g
LDFLAGS    ?=

.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules

# All cores unless told otherwise by JOBS=n.  With several goals (`make clean all`) the
# order of the goals counts, so those stay serial.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS))$(word 2,$(MAKECMDGOALS)),0)
JOBS      ?= $(shell nproc 2>/dev/null || echo 2)
MAKEFLAGS += -j$(JOBS)
endif

ifeq ($(V),1)
Q    :=
say   = @:
else
Q    := @
say   = @printf '  %-8s %s\n' '$1' '$(patsubst $(O)/%,%,$2)'
endif

# ---- variants: each has its own folder, with the same layout as $(O) ----------

B := $(O)
ifeq ($(ASAN),1)
B        := $(O)/asan
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
endif
ifeq ($(TSAN),1)
B        := $(O)/tsan
SANITIZE := -fsanitize=thread -fno-omit-frame-pointer
endif
ifeq ($(FUZZ),1)
B        := $(O)/fuzz
override CC := $(FUZZ_CC)
SANITIZE := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined \
	    -fno-omit-frame-pointer
endif

ifeq ($(SANITIZE),)
HARDEN       := -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
NO_UNDEFINED := -Wl,-z,defs
TEST_TIMEOUT ?= 120
else
TEST_TIMEOUT ?= 360
endif

# ---- flags -------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wshadow -Wundef -Wvla -Wpointer-arith -Wformat=2 -Wno-format-nonliteral \
	    -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wwrite-strings \
	    -Wno-unused-parameter -Wno-missing-field-initializers \
	    -Werror=implicit -Werror=int-conversion -Werror=incompatible-pointer-types \
	    -Werror=return-type
ifeq ($(WERROR),1)
WARNINGS += -Werror
endif

INCLUDES   := -I. -I$(B)/gen
DEFINES    := -D_GNU_SOURCE= -DOOO_RELEASE='"$(VERSION)"'
OOO_CFLAGS := -std=gnu11 -fno-strict-aliasing -pthread $(WARNINGS) $(HARDEN) $(SANITIZE) \
	      $(INCLUDES) $(DEFINES)

# DT_RPATH, not DT_RUNPATH: it also serves what our libraries need in turn.
RPATH       := -Wl,-rpath,'$$ORIGIN/../lib' -Wl,--disable-new-dtags
# This one passes through $(eval).
RPATH_LIB   := -Wl,-rpath,'$$$$ORIGIN' -Wl,--disable-new-dtags
OOO_LDFLAGS := -pthread $(SANITIZE) -Wl,--as-needed -Wl,-z,relro -Wl,-z,now $(LDFLAGS)

# ---- what this machine has ----------------------------------------------------

# Goals that must work on a bare machine, before anything is installed.
BARE_GOALS := help clean setup gpu-check gpu-bench
ifneq ($(filter-out $(BARE_GOALS),$(or $(MAKECMDGOALS),all)),)
include $(O)/config.mk
endif

export CC PKG_CONFIG ONNX_PROTO

$(O)/config.mk: packaging/probe.sh packaging/setup.sh
	$(Q)mkdir -p $(@D)
	$(Q)packaging/setup.sh build
	$(Q)packaging/probe.sh >$@.tmp
	$(Q)mv $@.tmp $@

$(O)/setup-test.stamp: packaging/setup.sh
	$(Q)mkdir -p $(@D)
	$(Q)packaging/setup.sh test
	$(Q)touch $@

$(O)/setup-dev.stamp: packaging/setup.sh
	$(Q)mkdir -p $(@D)
	$(Q)packaging/setup.sh dev
	$(Q)touch $@

# Without PyPI the tests that need its packages skip and say so; the stamp is
# not left behind then, so that the next run tries again.
VENV := $(O)/venv
$(VENV)/.stamp: tests/requirements.txt | $(O)/setup-test.stamp
	$(call say,VENV,$(VENV))
	$(Q)rm -rf $(VENV)
	$(Q)if $(PYTHON) -m venv $(VENV) && $(VENV)/bin/pip install --quiet \
		--disable-pip-version-check --requirement tests/requirements.txt; \
	then touch $@; \
	else rm -rf $(VENV); echo "setup: no packages from PyPI: tests that need them will be skipped" >&2; \
	fi

# ---- rules that every folder uses ---------------------------------------------

# An object's dependency file serves clang-tidy's stamp as well.  Extra flags
# for a single source: CFLAGS-agent/device/cpu/x.c += ...
$(B)/obj/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(OOO_CFLAGS) $(DIR_CFLAGS) $(CFLAGS-$<) \
		-MMD -MP -MF $(@:.o=.d) -MT $@ -MT $(B)/lint/$*.tidy -c $< -o $@

$(B)/obj/gen/%.o: $(B)/gen/%.c
	$(call say,CC,gen/$*.c)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(OOO_CFLAGS) $(DIR_CFLAGS) -w -MMD -MP -MF $(@:.o=.d) -MT $@ -c $< -o $@

# A list file changes when a source comes or goes, and only then.
$(B)/lists/%: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(LIST_$*) | cmp -s - $@ || printf '%s\n' $(LIST_$*) >$@

comma := ,
objects = $(patsubst %.c,$(B)/obj/%.o,$1)

# $(call archive,NAME,OBJECTS): build/NAME.a from the objects.
define archive_rule
LIST_$1 := $2
ALL_OBJS += $2
$(B)/$1.a: $2 $(B)/lists/$1
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@ && $$(AR) rcsD $$@ $2
endef
archive = $(eval $(call archive_rule,$1,$2))

# $(call program,NAME,OBJECTS,ARCHIVES,LIBS): build/bin/NAME; PROGRAMS collects them.
define program_rule
LIST_$1 := $2
ALL_OBJS += $2
PROGRAMS += $(B)/bin/$1
$(B)/bin/$1: $2 $3 $(B)/lists/$1
	$$(call say,LINK,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) $$(OOO_LDFLAGS) $$(RPATH) $2 $3 $4 -o $$@
endef
program = $(eval $(call program_rule,$1,$2,$3,$4))

# $(call shared_library,NAME,OBJECTS,ARCHIVES,MAP,LIBS): build/lib/NAME.so and its names.
define shared_library_rule
LIST_$1.so := $2
ALL_OBJS += $2
LIBRARIES += $(B)/lib/$1.so
$(B)/lib/$1.so.$(VERSION): $2 $3 $4 $(B)/lists/$1.so
	$$(call say,LINK,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) -shared $$(OOO_LDFLAGS) $$(NO_UNDEFINED) -Wl,-soname,$1.so.$(SO_MAJOR) \
		-Wl,--version-script=$4 -Wl,--exclude-libs,ALL $2 $3 $5 -o $$@
$(B)/lib/$1.so: $(B)/lib/$1.so.$(VERSION)
	$$(Q)ln -sf $1.so.$(VERSION) $(B)/lib/$1.so.$(SO_MAJOR)
	$$(Q)ln -sf $1.so.$(VERSION) $$@
endef
shared_library = $(eval $(call shared_library_rule,$1,$2,$3,$4,$5))

$(B)/lib/pkgconfig/%.pc: FORCE
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' \
		-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|g' -e 's|@VERSION@|$(VERSION)|g' \
		$(filter %.pc.in,$^) >$@.tmp
	@cmp -s $@.tmp $@ && rm -f $@.tmp || mv $@.tmp $@

ALL_OBJS  :=
PROGRAMS  :=
LIBRARIES :=

-include bpf/bpf.mk
-include shared/shared.mk
-include agent/agent.mk
-include ctl/ctl.mk
-include tests/tests.mk

# New flags rebuild everything.
$(sort $(ALL_OBJS)): Makefile $(wildcard */*.mk)

-include $(patsubst %.o,%.d,$(sort $(ALL_OBJS)))

# ---- targets -----------------------------------------------------------------

.PHONY: all install stage clean setup help FORCE
FORCE:

all: $(LIBRARIES) $(PROGRAMS) $(PC_FILES) $(HEADERS_STAMP) $(DOC_STAMP)

stage: all $(GPU_BINS)
	$(Q)packaging/stage.sh $(B)

PUBLIC_LIBS = $(notdir $(LIBRARIES))
ADMIN_BINS  = $(filter $(B)/bin/ooo-agent,$(PROGRAMS))
USER_BINS   = $(filter-out $(ADMIN_BINS),$(PROGRAMS))

install: all
	$(Q)$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SBINDIR) \
		$(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)
	$(Q)$(if $(ADMIN_BINS),$(INSTALL) -m 0755 $(ADMIN_BINS) $(DESTDIR)$(SBINDIR)/)
	$(Q)$(if $(USER_BINS),$(INSTALL) -m 0755 $(USER_BINS) $(DESTDIR)$(BINDIR)/)
	$(Q)for lib in $(PUBLIC_LIBS); do \
		$(INSTALL) -m 0755 $(B)/lib/$$lib.$(VERSION) $(DESTDIR)$(LIBDIR)/ && \
		ln -sf $$lib.$(VERSION) $(DESTDIR)$(LIBDIR)/$$lib.$(SO_MAJOR) && \
		ln -sf $$lib.$(VERSION) $(DESTDIR)$(LIBDIR)/$$lib || exit 1; \
	done
	$(Q)$(INSTALL) -d $(DESTDIR)$(SHAREDIR)/devices
	$(Q)$(INSTALL) -m 0644 packaging/devices/*.json $(DESTDIR)$(SHAREDIR)/devices/
	$(Q)$(if $(PC_FILES),$(INSTALL) -m 0644 $(PC_FILES) $(DESTDIR)$(LIBDIR)/pkgconfig/)
	$(Q)$(if $(HEADERS_STAMP),cd $(B)/include && find ooo -type f -exec \
		$(INSTALL) -D -m 0644 {} $(abspath $(DESTDIR)/$(INCLUDEDIR))/{} \;)
	$(Q)cd $(B)/doc && find man* -type f -exec \
		$(INSTALL) -D -m 0644 {} $(abspath $(DESTDIR)/$(DATADIR))/man/{} \;
	$(Q)$(INSTALL) -D -m 0644 $(B)/doc/completion/ooo-ctl \
		$(DESTDIR)$(DATADIR)/bash-completion/completions/ooo-ctl
	$(Q)$(INSTALL) -D -m 0644 $(B)/doc/completion/_ooo-ctl \
		$(DESTDIR)$(DATADIR)/zsh/site-functions/_ooo-ctl

setup:
	$(Q)packaging/setup.sh build test dev

clean:
	$(Q)rm -rf $(O)

help:
	@echo 'make            the agent, the tools and the libraries, below $(O)/'
	@echo 'make check      unit and integration tests; T=substring picks some of them'
	@echo 'make gpu-check  the cuda device on this machine (GPU_ARGS=--help); needs nothing but $(O)/stage'
	@echo 'make gpu-bench  the same for its speed'
	@echo 'make property   CASES random histories of the scheduler from SEED on (100000, 1)'
	@echo 'make demo       a short tour of a running agent'
	@echo 'make bench      measurements'
	@echo 'make fuzz       each fuzz target for FUZZ_SECONDS (60)'
	@echo 'make lint       format, static analysis and the rules of the tree'
	@echo 'make format     reformat the sources in place'
	@echo 'make stage      $(O)/stage: bin and lib that run on another machine'
	@echo 'make install    DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)'
	@echo 'make setup      install every package that any target needs'
	@echo 'make clean      remove $(O)/'
	@echo
	@echo 'V=1 prints commands; O=dir builds elsewhere; JOBS=n limits parallelism; ASAN=1, TSAN=1 build $(O)/asan, $(O)/tsan;'
	@echo 'WERROR=1 makes warnings errors.'
